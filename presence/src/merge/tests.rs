use weft_proto::presence::{DevicePresence, PresenceSettings, Status};

use super::*;

const GRACE: Duration = Duration::from_secs(10);
const PRESUMED: Duration = Duration::from_secs(12);
/// When the tests begin, Unix milliseconds.
const EPOCH_MS: u64 = 1_790_000_000_000;

/// A merge, its clock, and what it has said.
struct World {
    merge: Merge,
    began: Instant,
    number: u64,
}

fn user(name: &str) -> UserId {
    UserId::new(name).expect("id")
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("id")
}

fn edges(lives: &[(&str, &str)]) -> Vec<(NodeId, String)> {
    lives.iter().map(|(edge, boot)| (node(edge), (*boot).to_owned())).collect()
}

impl World {
    /// Edges `a` and `b` live, nobody is here.
    fn new() -> Self {
        let merge = Merge::new(Patience { grace: GRACE, presumed: PRESUMED });
        let mut world = Self { merge, began: Instant::now(), number: 0 };
        world.merge.on_edges(&edges(&[("a", "1"), ("b", "1")]), world.now());
        world
    }

    fn now(&self) -> Now {
        let passed = self.began.elapsed();
        let wall_ms = EPOCH_MS + u64::try_from(passed.as_millis()).expect("short");
        Now { at: Instant::now(), wall_ms }
    }

    /// An edge's next word; its users' choices are loaded at once.
    fn key(&mut self, edge: &str, boot: &str, devices: &[(&str, bool)]) {
        self.key_with(edge, boot, devices, |_| {});
    }

    fn key_with(
        &mut self,
        edge: &str,
        boot: &str,
        devices: &[(&str, bool)],
        change: impl FnOnce(&mut EdgePresence),
    ) {
        self.number += 1;
        let now = self.now();
        let device = |(device, idle): &(&str, bool)| DevicePresence {
            device: (*device).to_owned(),
            idle: *idle,
        };
        let mut here = EdgePresence {
            boot: boot.to_owned(),
            number: self.number,
            devices: devices.iter().map(device).collect(),
            last_active_ms: now.wall_ms,
            ..EdgePresence::default()
        };
        change(&mut here);
        self.merge.on_key(&user("bob"), &node(edge), &here, now);
        self.load(KeptStatus::default());
    }

    fn load(&mut self, kept: KeptStatus) {
        for user in self.merge.take_to_load() {
            self.merge.on_loaded(&user, &kept, self.now());
        }
    }

    async fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        // As its owner does: at each instant at which something is due.
        while let Some(at) = self.merge.due_at().filter(|at| *at <= until) {
            tokio::time::advance(at.saturating_duration_since(Instant::now())).await;
            self.merge.on_time(self.now());
        }
        tokio::time::advance(until.saturating_duration_since(Instant::now())).await;
        self.merge.on_time(self.now());
    }

    /// What others see, and whether that has changed since it was asked last.
    fn seen(&mut self) -> (Status, bool) {
        let has_changed = !self.merge.take_changed().is_empty();
        let shown = self.merge.shown(&user("bob"));
        (shown.map_or(Status::Offline, |shown| shown.status), has_changed)
    }
}

fn chosen(choice: Choice, at_ms: u64) -> PresenceSettings {
    PresenceSettings { choice: choice.into(), at_ms, ..PresenceSettings::default() }
}

#[tokio::test(start_paused = true)]
async fn devices_and_edges_are_one_user() {
    let mut world = World::new();
    world.key("a", "1", &[("phone", false)]);
    assert_eq!(world.seen(), (Status::Online, true));
    world.key("b", "1", &[("desk", true)]);
    assert_eq!(world.seen(), (Status::Online, false));
    world.key("a", "1", &[]);
    // The idle one alone is left.
    assert_eq!(world.seen(), (Status::Away, true));
    world.key("b", "1", &[("desk", false)]);
    assert_eq!(world.seen(), (Status::Online, true));
    world.key("b", "1", &[]);
    world.pass(GRACE - Duration::from_millis(1)).await;
    assert_eq!(world.seen(), (Status::Online, false));
    world.pass(Duration::from_millis(1)).await;
    assert_eq!(world.seen(), (Status::Offline, true));
    assert_eq!(world.merge.take_seen(), [(user("bob"), EPOCH_MS)]);
}

#[tokio::test(start_paused = true)]
async fn a_flapping_connection_shows_nothing() {
    let mut world = World::new();
    world.key("a", "1", &[("phone", false)]);
    assert_eq!(world.seen(), (Status::Online, true));
    for round in 0..10 {
        world.key(if round % 2 == 0 { "a" } else { "b" }, "1", &[]);
        world.pass(Duration::from_secs(1)).await;
        world.key(if round % 2 == 0 { "b" } else { "a" }, "1", &[("phone", false)]);
        world.pass(Duration::from_secs(1)).await;
        assert_eq!(world.seen(), (Status::Online, false));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_logs_out_is_gone_at_once() {
    let mut world = World::new();
    world.key("a", "1", &[("phone", false)]);
    world.seen();
    world.pass(Duration::from_secs(5)).await;
    world.key_with("a", "1", &[], |here| here.logged_out = true);
    assert_eq!(world.seen(), (Status::Offline, true));
    let shown = world.merge.shown(&user("bob")).expect("known").clone();
    assert_eq!(shown, VisibleStatus::offline(EPOCH_MS + 5_000));
}

#[tokio::test(start_paused = true)]
async fn a_dead_edge_takes_its_users_with_it_after_the_grace() {
    let mut world = World::new();
    world.key("a", "1", &[("phone", false)]);
    world.seen();
    world.pass(Duration::from_secs(60)).await;
    world.merge.on_edges(&edges(&[("b", "1")]), world.now());
    assert_eq!(world.seen(), (Status::Online, false));
    world.pass(GRACE).await;
    assert_eq!(world.seen(), (Status::Offline, true));
    // Seen until the edge died, not until it last wrote.
    assert_eq!(world.merge.take_seen(), [(user("bob"), EPOCH_MS + 60_000)]);
    // A late write of the dead life revives nobody; neither does its key's end.
    world.key("a", "1", &[("phone", false)]);
    assert_eq!(world.seen(), (Status::Offline, false));
    // It was not dead after all.
    world.merge.on_edges(&edges(&[("a", "1"), ("b", "1")]), world.now());
    assert_eq!(world.seen(), (Status::Online, true));
}

#[tokio::test(start_paused = true)]
async fn another_life_of_an_edge_is_another_edge() {
    let mut world = World::new();
    world.key("a", "1", &[("phone", false)]);
    world.seen();
    world.merge.on_edges(&edges(&[("a", "2"), ("b", "1")]), world.now());
    // A late write of the first life.
    world.key("a", "1", &[("phone", false)]);
    world.pass(GRACE).await;
    assert_eq!(world.seen(), (Status::Offline, true));
    world.key("a", "2", &[("phone", false)]);
    assert_eq!(world.seen(), (Status::Online, true));
    // An older word of the same life comes late.
    let late = EdgePresence { boot: "2".into(), number: 1, ..EdgePresence::default() };
    world.merge.on_key(&user("bob"), &node("a"), &late, world.now());
    world.pass(GRACE).await;
    assert_eq!(world.seen(), (Status::Online, false));
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_has_just_joined_is_presumed_to_live() {
    let mut world = World::new();
    world.key("new", "1", &[("phone", false)]);
    assert_eq!(world.seen(), (Status::Online, true));
    world.pass(PRESUMED - Duration::from_millis(1)).await;
    world.merge.on_edges(&edges(&[("a", "1"), ("b", "1"), ("new", "1")]), world.now());
    world.pass(GRACE * 3).await;
    assert_eq!(world.seen(), (Status::Online, false));
    // Another one never joins.
    let mut world = World::new();
    world.key("ghost", "1", &[("phone", false)]);
    world.seen();
    world.pass(PRESUMED + GRACE).await;
    assert_eq!(world.seen(), (Status::Offline, true));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_expires_says_nothing_while_its_edge_lives() {
    let mut world = World::new();
    world.key("a", "1", &[("phone", false)]);
    world.seen();
    world.merge.on_key_gone(&user("bob"), &node("a"), world.now());
    world.pass(GRACE * 2).await;
    assert_eq!(world.seen(), (Status::Online, false));
}

#[tokio::test(start_paused = true)]
async fn the_newest_choice_holds_wherever_it_was_made() {
    let mut world = World::new();
    world.key("a", "1", &[("phone", false)]);
    world.key_with("b", "1", &[("desk", false)], |it| it.chosen = Some(chosen(Choice::Dnd, 20)));
    assert_eq!(world.seen(), (Status::Dnd, true));
    world.key_with("a", "1", &[("phone", false)], |it| it.chosen = Some(chosen(Choice::Away, 10)));
    assert_eq!(world.seen(), (Status::Dnd, false));
    // The edge where it was made goes: the choice stays.
    world.key("b", "1", &[]);
    world.pass(GRACE * 2).await;
    assert_eq!(world.seen(), (Status::Dnd, false));
}

#[tokio::test(start_paused = true)]
async fn a_text_ends_by_itself() {
    let mut world = World::new();
    world.key_with("a", "1", &[("phone", false)], |it| {
        it.chosen = Some(PresenceSettings {
            text: "lunch".into(),
            text_until_ms: EPOCH_MS + 60_000,
            ..chosen(Choice::Online, 1)
        });
    });
    world.seen();
    let shown = world.merge.shown(&user("bob")).expect("known");
    assert_eq!((shown.text.as_deref(), shown.text_until_ms), (Some("lunch"), EPOCH_MS + 60_000));
    world.pass(Duration::from_secs(59)).await;
    assert_eq!(world.seen(), (Status::Online, false));
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.seen(), (Status::Online, true));
    let shown = world.merge.shown(&user("bob")).expect("known");
    assert_eq!((shown.text.as_deref(), shown.text_until_ms), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn an_invisible_user_looks_as_one_who_has_left() {
    let mut world = World::new();
    world.key("a", "1", &[("phone", false)]);
    world.seen();
    world.pass(Duration::from_secs(30)).await;
    let invisible = Some(chosen(Choice::Invisible, 1));
    world.key_with("a", "1", &[("phone", false)], |it| it.chosen = invisible);
    assert_eq!(world.seen(), (Status::Offline, true));
    let left = VisibleStatus::offline(EPOCH_MS + 30_000);
    assert_eq!(world.merge.shown(&user("bob")), Some(&left));
    assert_eq!(world.merge.take_seen(), [(user("bob"), EPOCH_MS + 30_000)]);
    // Whatever happens then, nobody sees anything.
    world.key("b", "1", &[("desk", false)]);
    world.key("a", "1", &[("phone", true)]);
    world.key("a", "1", &[]);
    world.pass(Duration::from_secs(5)).await;
    world.key("b", "1", &[]);
    world.pass(GRACE).await;
    assert_eq!(world.seen(), (Status::Offline, false));
    assert_eq!(world.merge.shown(&user("bob")), Some(&left));
    assert_eq!(world.merge.take_seen(), []);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_ends_knows_when_it_saw_whoever_may_come_back() {
    let mut world = World::new();
    world.key("a", "1", &[("phone", false)]);
    assert_eq!(world.merge.lost(), []);
    world.pass(Duration::from_secs(7)).await;
    world.key("a", "1", &[]);
    assert_eq!(world.merge.lost(), [(user("bob"), EPOCH_MS + 7_000)]);
    // Of an invisible user nothing is told.
    let mut world = World::new();
    let invisible = Some(chosen(Choice::Invisible, 1));
    world.key_with("a", "1", &[("phone", false)], |it| it.chosen = invisible);
    world.key("a", "1", &[]);
    assert_eq!(world.merge.lost(), []);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_shown_before_their_choice_is_known() {
    let mut world = World::new();
    let here = EdgePresence {
        boot: "1".into(),
        number: 1,
        devices: vec![DevicePresence { device: "phone".into(), idle: false }],
        ..EdgePresence::default()
    };
    world.merge.on_key(&user("bob"), &node("a"), &here, world.now());
    assert_eq!(world.seen(), (Status::Offline, false));
    let kept = KeptStatus { chosen: Some(chosen(Choice::Invisible, 5)), last_active_ms: 77 };
    world.load(kept);
    assert_eq!(world.seen(), (Status::Offline, false));
    assert_eq!(world.merge.shown(&user("bob")), Some(&VisibleStatus::offline(77)));
}

#[tokio::test(start_paused = true)]
async fn whoever_left_while_nobody_looked_is_offline_and_was_seen() {
    let mut world = World::new();
    let long_ago = EPOCH_MS - 60_000;
    world.key_with("a", "1", &[], |here| here.last_active_ms = long_ago);
    assert_eq!(world.seen().0, Status::Offline);
    assert_eq!(world.merge.take_seen(), [(user("bob"), long_ago)]);
    // Who left a moment ago may still come back.
    let mut world = World::new();
    world.key_with("a", "1", &[], |here| here.last_active_ms = EPOCH_MS - 4_000);
    assert_eq!(world.seen().0, Status::Online);
    world.pass(Duration::from_secs(6)).await;
    assert_eq!(world.seen(), (Status::Offline, true));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_of_who_is_long_gone() {
    let mut world = World::new();
    world.key("a", "1", &[("phone", false)]);
    world.key("a", "1", &[]);
    world.pass(GRACE + FORGET_AFTER).await;
    assert_eq!(world.merge.users().count(), 0);
    assert_eq!(world.merge.due_at(), None);
    // The key of a dead edge has to expire first: the edge may not be dead.
    world.key("b", "1", &[("phone", false)]);
    world.merge.on_edges(&edges(&[("a", "1")]), world.now());
    world.pass(GRACE + FORGET_AFTER * 3).await;
    assert_eq!(world.merge.users().count(), 1);
    world.merge.on_key_gone(&user("bob"), &node("b"), world.now());
    assert_eq!(world.merge.users().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_stays_away_is_gone_in_the_end() {
    let mut world = World::new();
    world.key("a", "1", &[("phone", false)]);
    world.seen();
    world.merge.reconcile(&HashSet::new(), world.now());
    // Its edge writes it again in time.
    world.pass(Duration::from_secs(700)).await;
    world.key("a", "1", &[("phone", false)]);
    world.pass(Duration::from_secs(1_000)).await;
    assert_eq!(world.seen(), (Status::Online, false));
    // It does not: the user has left while the watch did not show it.
    world.merge.on_key_gone(&user("bob"), &node("a"), world.now());
    world.pass(Duration::from_secs(901) + GRACE).await;
    assert_eq!(world.seen(), (Status::Offline, true));
}

#[tokio::test(start_paused = true)]
async fn a_new_life_may_be_heard_before_it_is_known_to_live() {
    let mut world = World::new();
    world.key("a", "1", &[("phone", false)]);
    world.seen();
    // The edge was killed and is there again, and the user too; the nodes' bucket tells it later.
    world.key("a", "2", &[("phone", false)]);
    world.pass(Duration::from_secs(3)).await;
    world.merge.on_edges(&edges(&[("a", "2"), ("b", "1")]), world.now());
    world.pass(GRACE * 2).await;
    assert_eq!(world.seen(), (Status::Online, false));
    world.key("a", "2", &[]);
    world.pass(GRACE).await;
    assert_eq!(world.seen(), (Status::Offline, true));
}

#[tokio::test(start_paused = true)]
async fn who_is_attended_is_so_by_the_word_of_a_live_edge_alone() {
    let mut world = World::new();
    world.key_with("a", "1", &[("phone", false)], |here| here.attended = false);
    world.key_with("b", "1", &[("desk", false)], |here| here.attended = true);
    assert!(world.merge.is_attended(&user("bob")));
    assert!(!world.merge.is_attended(&user("alice")));
    world.merge.on_edges(&edges(&[("a", "1")]), world.now());
    assert!(!world.merge.is_attended(&user("bob")), "its edge is dead");
}
