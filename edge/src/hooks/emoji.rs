//! Names of emojis, as senders of alerts and builds write them. Others stay as they were written.

/// Longest name.
const NAME_BYTES_MAX: usize = 32;

/// The name with which a text begins, and how many bytes it takes there, with its colons.
pub(super) fn name_at(text: &str) -> Option<(&str, usize)> {
    let is_of_name =
        |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'+' | b'\'');
    let bytes = text.bytes().skip(1).take(NAME_BYTES_MAX + 1);
    let len = bytes.take_while(|byte| is_of_name(byte)).count();
    let is_name = len > 0 && len <= NAME_BYTES_MAX && text.as_bytes().get(1 + len) == Some(&b':');
    is_name.then(|| (&text[1..=len], len + 2))
}

/// The emoji of a name.
#[rustfmt::skip]
pub(super) fn of(name: &str) -> Option<&'static str> {
    Some(match name {
        "fire" => "🔥", "boom" | "collision" => "💥", "rotating_light" => "🚨", "warning" => "⚠️",
        "no_entry" => "⛔", "no_entry_sign" => "🚫", "x" => "❌", "octagonal_sign" => "🛑",
        "white_check_mark" => "✅", "heavy_check_mark" => "✔️", "ok" => "🆗", "bell" => "🔔", "mega" => "📣",
        "loudspeaker" => "📢", "information_source" => "ℹ️", "question" => "❓", "exclamation" | "heavy_exclamation_mark" => "❗",
        "bangbang" => "‼️", "red_circle" => "🔴", "large_orange_circle" => "🟠", "large_yellow_circle" => "🟡",
        "large_green_circle" => "🟢", "large_blue_circle" => "🔵", "white_circle" => "⚪", "black_circle" => "⚫",
        "large_blue_diamond" => "🔷", "large_orange_diamond" => "🔶", "small_red_triangle" => "🔺",
        "arrow_up" => "⬆️", "arrow_down" => "⬇️", "arrow_right" => "➡️", "arrow_left" => "⬅️",
        "chart_with_upwards_trend" => "📈", "chart_with_downwards_trend" => "📉", "bar_chart" => "📊",
        "hourglass" => "⌛", "hourglass_flowing_sand" => "⏳", "clock1" | "clock" => "🕐", "stopwatch" => "⏱️", "zzz" => "💤",
        "rocket" => "🚀", "package" => "📦", "ship" | "shipit" => "🚢", "hammer" => "🔨", "wrench" => "🔧",
        "hammer_and_wrench" => "🛠️", "gear" => "⚙️", "construction" => "🚧", "recycle" => "♻️", "bug" => "🐛", "lock" => "🔒",
        "unlock" => "🔓", "key" => "🔑", "link" => "🔗", "memo" | "pencil" => "📝", "page_facing_up" => "📄", "bookmark" => "🔖",
        "label" => "🏷️", "calendar" | "date" => "📅", "email" | "envelope" => "✉️", "inbox_tray" => "📥", "outbox_tray" => "📤",
        "computer" => "💻", "desktop_computer" => "🖥️", "floppy_disk" => "💾", "globe_with_meridians" => "🌐", "cloud" => "☁️",
        "robot_face" | "robot" => "🤖", "ghost" => "👻", "skull" => "💀", "poop" | "hankey" => "💩", "eyes" => "👀",
        "tada" => "🎉", "sparkles" => "✨", "star" => "⭐", "zap" => "⚡", "bulb" => "💡", "dart" => "🎯", "trophy" => "🏆",
        "heart" => "❤️", "broken_heart" => "💔", "thumbsup" | "+1" => "👍", "thumbsdown" | "-1" => "👎", "clap" => "👏",
        "wave" => "👋", "pray" => "🙏", "muscle" => "💪", "ok_hand" => "👌", "raised_hands" => "🙌", "point_right" => "👉",
        "smile" => "😄", "grin" => "😁", "joy" => "😂", "slightly_smiling_face" => "🙂", "wink" => "😉", "thinking_face" => "🤔",
        "cry" => "😢", "sob" => "😭", "scream" => "😱", "confused" => "😕", "disappointed" => "😞", "rage" => "😡",
        "sunglasses" => "😎", "coffee" => "☕", "beer" => "🍺", "pizza" => "🍕", "snail" => "🐌", "turtle" => "🐢",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_between_colons() {
        assert_eq!(name_at(":fire: x"), Some(("fire", 6)));
        for no in
            ["", ":", "::", ":fire", ":fi re:", ":Fire:", ":한:", &format!(":{}:", "x".repeat(33))]
        {
            assert_eq!(name_at(no), None, "{no}");
        }
        assert_eq!(of("+1"), Some("👍"));
        assert_eq!(of("unheard_of"), None);
    }
}
