//! A search as search nodes take it: days become moments, in the time zone that the client names.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use weft_proto::frame::{Order, Searched};
use weft_proto::svc::Search;
use weft_proto::{ApiError, ErrorCode};

/// # Errors
/// [`ErrorCode::BadRequest`] for a day or a time zone that there is not.
pub(crate) fn request(token: String, searched: Searched) -> Result<Search, ApiError> {
    let Searched { since, until, zone, .. } = &searched;
    let zone = match zone {
        None => TimeZone::UTC,
        Some(name) => TimeZone::get(name).map_err(|_| bad("zone", "is no time zone"))?,
    };
    let after_ms = since.as_deref().map(|day| begin("since", day, &zone, 0)).transpose()?;
    let before_ms = until.as_deref().map(|day| begin("until", day, &zone, 1)).transpose()?;
    Ok(Search {
        token,
        text: searched.text,
        room: searched.room.map(|room| room.to_string()).unwrap_or_default(),
        from: searched.from.map(|user| user.to_string()).unwrap_or_default(),
        after_ms,
        before_ms,
        has: searched.has.iter().map(|has| has.as_str().to_owned()).collect(),
        mentions_me: searched.mentions_me,
        thread: searched.thread.unwrap_or(0),
        ranked: searched.order == Order::Ranked,
        counts: searched.counts,
        cursor: searched.after,
        limit: searched.limit,
    })
}

/// When a day begins, or the one so many after it, Unix milliseconds. Where clocks are put forward at midnight it begins
/// later.
fn begin(field: &str, day: &str, zone: &TimeZone, days_after: i64) -> Result<u64, ApiError> {
    let no_day = || bad(field, "has to be a day as 2026-11-30");
    let is_plain = day.len() == 10 && day.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let date: Date = day.parse().ok().filter(|_| is_plain).ok_or_else(no_day)?;
    let date = date.checked_add(jiff::Span::new().days(days_after)).map_err(|_| no_day())?;
    let begins = date.to_zoned_datetime(zone.clone()).and_then(|day| day.start_of_day());
    let begins_ms = begins.map_err(|_| no_day())?.timestamp().as_millisecond();
    // Before 1970 nothing was written.
    Ok(u64::try_from(begins_ms).unwrap_or(0))
}

fn bad(field: &str, what: &str) -> ApiError {
    ApiError::new(ErrorCode::BadRequest, format!("the field {field} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(since: &str, until: &str, zone: &str) -> Result<(u64, u64), ErrorCode> {
        let searched = Searched {
            since: Some(since.into()),
            until: Some(until.into()),
            zone: (!zone.is_empty()).then(|| zone.into()),
            ..Searched::default()
        };
        let request = request("token".into(), searched).map_err(|error| error.code)?;
        Ok((request.after_ms.unwrap_or(0), request.before_ms.unwrap_or(0)))
    }

    const HOUR_MS: u64 = 3_600_000;
    /// 2026-11-30 00:00 UTC.
    const DAY_MS: u64 = 1_795_996_800_000;

    #[test]
    fn a_day_is_one_of_its_time_zone() {
        assert_eq!(of("2026-11-30", "2026-11-30", ""), Ok((DAY_MS, DAY_MS + 24 * HOUR_MS)));
        let seoul = DAY_MS - 9 * HOUR_MS;
        assert_eq!(of("2026-11-30", "2026-12-01", "Asia/Seoul"), Ok((seoul, seoul + 48 * HOUR_MS)));
        // Clocks are put forward, so the day has 23 hours.
        let (begin, end) = of("2026-03-29", "2026-03-29", "Europe/Berlin").expect("a day");
        assert_eq!(end - begin, 23 * HOUR_MS);
        // In Cairo they were put forward at midnight.
        let (begin, end) = of("2026-04-24", "2026-04-24", "Africa/Cairo").expect("a day");
        assert_eq!(end - begin, 23 * HOUR_MS);
    }

    #[test]
    fn what_is_no_day_and_no_time_zone_is_refused() {
        for (day, zone) in [
            ("2026-11-31", ""),
            ("30.11.2026", ""),
            ("", ""),
            ("2026-11-30T00:00", ""),
            ("99999-01-01", ""),
            ("9999-12-31", ""),
            ("2026-11-30", "Mars/Olympus"),
            ("2026-11-30", "../etc/passwd"),
        ] {
            assert_eq!(of(day, day, zone), Err(ErrorCode::BadRequest), "{day} {zone}");
        }
        assert_eq!(of("1969-01-01", "1969-01-01", ""), Ok((0, 0)));
    }
}
