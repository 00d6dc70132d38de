//! When a user is not to be disturbed, week by week: kept for whoever notifies them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{ApiError, ErrorCode};

/// The days of a week, in their order.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Hours of a day, on some days of a week. As it travels, and as it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, prost::Message)]
pub struct DndHours {
    /// When they begin, by the clocks of the time zone: `22:00`.
    #[prost(string, tag = "1")]
    #[serde(default)]
    pub from: String,
    /// When they end: on the day after, where that is not later than `from`.
    #[prost(string, tag = "2")]
    #[serde(default)]
    pub to: String,
    /// On which days they begin, in their order. None: they are turned off.
    #[prost(string, repeated, tag = "3")]
    #[serde(default = "every_day", deserialize_with = "every_day_or")]
    pub days: Vec<String>,
    /// By the name that the IANA has for it: `Asia/Seoul`.
    #[prost(string, tag = "4")]
    #[serde(default)]
    pub time_zone: String,
}

fn every_day() -> Vec<String> {
    DAYS.map(str::to_owned).into()
}

fn every_day_or<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(every_day))
}

impl DndHours {
    /// Checks the fields, and has each in its one form.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`].
    pub fn check(self) -> Result<Self, ApiError> {
        let Self { from, to, days, time_zone } = self;
        let bad =
            |what: String| ApiError::new(ErrorCode::BadRequest, format!("the field dnd.{what}"));
        for (field, time) in [("from", &from), ("to", &to)] {
            if !is_time(time) {
                return Err(bad(format!("{field} is a time from 00:00 to 23:59")));
            }
        }
        if let Some(day) = days.iter().find(|day| !DAYS.contains(&day.as_str())) {
            let day: String = day.chars().take(32).collect();
            return Err(bad(format!("days has the unknown day {day:?}")));
        }
        let is_named = |day: &&str| days.iter().any(|named| named == day);
        let days = DAYS.iter().filter(|day| is_named(day)).map(|day| (*day).to_owned()).collect();
        // Any case is found: all of one zone are kept alike.
        let zone = jiff::tz::TimeZone::get(&time_zone).ok();
        let name = zone.as_ref().and_then(|zone| zone.iana_name());
        let unknown = || bad("time_zone is no time zone of the IANA's".to_owned());
        let time_zone = name.ok_or_else(unknown)?.to_owned();
        Ok(Self { from, to, days, time_zone })
    }
}

impl DndHours {
    /// Whether it is one of these hours. What can't be read is none: nobody is kept from hearing by that.
    #[must_use]
    pub fn contain(&self, now_ms: u64) -> bool {
        let now = i64::try_from(now_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let zone = TimeZone::get(&self.time_zone).ok();
        let (Some(now), Some(zone)) = (now, zone) else { return false };
        let now = now.to_zoned_datetime(zone);
        let clock = format!("{:02}:{:02}", now.hour(), now.minute());
        let today = usize::from(now.weekday().to_monday_zero_offset().unsigned_abs());
        let begin_on = |day: usize| self.days.iter().any(|named| named == DAYS[day % 7]);
        let (from, to) = (self.from.as_str(), self.to.as_str());
        if from < to {
            return begin_on(today) && from <= clock.as_str() && clock.as_str() < to;
        }
        (begin_on(today) && from <= clock.as_str()) || (begin_on(today + 6) && clock.as_str() < to)
    }
}

/// `hh:mm`.
fn is_time(text: &str) -> bool {
    let [h1, h2, b':', m1, m2] = text.as_bytes() else { return false };
    let number = |tens: &u8, ones: &u8| {
        let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
        digits.then(|| (tens - b'0') * 10 + (ones - b'0'))
    };
    number(h1, h2).is_some_and(|hour| hour < 24) && number(m1, m2).is_some_and(|minute| minute < 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str) -> Result<DndHours, String> {
        let hours: DndHours = serde_json::from_str(json).map_err(|error| error.to_string())?;
        hours.check().map_err(|error| error.message)
    }

    #[test]
    fn hours_have_one_form() {
        for (json, shown) in [
            (
                r#"{"from":"22:00","to":"07:30","time_zone":"asia/seoul"}"#,
                r#"{"from":"22:00","to":"07:30","days":["mon","tue","wed","thu","fri","sat","sun"],"time_zone":"Asia/Seoul"}"#,
            ),
            (
                r#"{"from":"00:00","to":"00:00","days":["sun","sat","sun"],"time_zone":"UTC","more":1}"#,
                r#"{"from":"00:00","to":"00:00","days":["sat","sun"],"time_zone":"UTC"}"#,
            ),
            (
                r#"{"from":"23:59","to":"01:00","days":[],"time_zone":"America/Argentina/Buenos_Aires"}"#,
                r#"{"from":"23:59","to":"01:00","days":[],"time_zone":"America/Argentina/Buenos_Aires"}"#,
            ),
        ] {
            let hours = checked(json).expect(json);
            assert_eq!(serde_json::to_string(&hours).expect("json"), shown);
            assert_eq!(checked(shown), Ok(hours), "what was taken is taken again");
        }
    }

    #[test]
    fn they_are_hours_of_the_users_clocks() {
        let at = |text: &str| {
            let zoned: jiff::ZonedDateTime = text.parse().expect(text);
            u64::try_from(zoned.timestamp().as_millisecond()).expect("after 1970")
        };
        let hours = |json: &str| checked(json).expect(json);
        let night =
            hours(r#"{"from":"22:00","to":"07:00","days":["mon"],"time_zone":"Asia/Seoul"}"#);
        // 2026-11-30 is a Monday.
        for (time, expected) in [
            ("2026-11-30T21:59[Asia/Seoul]", false),
            ("2026-11-30T22:00[Asia/Seoul]", true),
            ("2026-11-30T13:00[UTC]", true),
            ("2026-12-01T06:59[Asia/Seoul]", true),
            ("2026-12-01T07:00[Asia/Seoul]", false),
            ("2026-11-30T06:00[Asia/Seoul]", false),
            ("2026-12-01T23:00[Asia/Seoul]", false),
        ] {
            assert_eq!(night.contain(at(time)), expected, "{time}");
        }
        let day = hours(r#"{"from":"09:00","to":"17:00","time_zone":"UTC"}"#);
        assert!(day.contain(at("2026-11-30T09:00[UTC]")));
        assert!(!day.contain(at("2026-11-30T17:00[UTC]")));
        let all = hours(r#"{"from":"12:00","to":"12:00","days":["sun"],"time_zone":"UTC"}"#);
        assert!(all.contain(at("2026-11-30T11:59[UTC]")));
        assert!(!all.contain(at("2026-11-30T12:00[UTC]")));
        let off = hours(r#"{"from":"00:00","to":"00:00","days":[],"time_zone":"UTC"}"#);
        assert!(!off.contain(at("2026-11-30T11:59[UTC]")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |field: &str, value: &str| {
            let mut fields = serde_json::json!(
                {"from": "22:00", "to": "07:00", "days": ["mon"], "time_zone": "Europe/Berlin"}
            );
            fields[field] = serde_json::from_str(value).expect(value);
            checked(&fields.to_string()).expect_err(value)
        };
        for (field, value) in [
            ("from", r#""24:00""#),
            ("from", r#""7:00""#),
            ("to", r#""07:60""#),
            ("to", r#""0a:00""#),
            ("to", r#""""#),
            ("days", r#"["monday"]"#),
            ("time_zone", r#""Mars/Olympus""#),
            ("time_zone", r#""Etc/Unknown""#),
            ("time_zone", r#""../zoneinfo/UTC""#),
            ("time_zone", r#""""#),
        ] {
            assert!(with(field, value).contains(field), "{field} {value}");
        }
    }
}
