//! The header `date`, spelled once a second.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

thread_local! {
    /// The second it was spelled for, and the header's value.
    static SPELLED: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Hands on the value for this second: `Mon, 23 Nov 2026 02:08:56 GMT` (RFC 9110, 5.6.7).
pub(crate) fn with_date<T>(then: impl FnOnce(&[u8]) -> T) -> T {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    SPELLED.with_borrow_mut(|(second, date)| {
        if *second != now || date.is_empty() {
            (*second, *date) = (now, spelled(now));
        }
        then(date.as_bytes())
    })
}

fn spelled(second: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, of_day) = (second / 86_400, second % 86_400);
    let (year, month, day) = civil(days as i64);
    let (weekday, month) = (DAYS[(days % 7) as usize], MONTHS[(month - 1) as usize % 12]);
    format!("{weekday}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// Year, month and day of a day since 1970 (civil-from-days of the proleptic Gregorian calendar).
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_spelled_as_http_wants_them() {
        for (second, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        ] {
            assert_eq!(spelled(second), text);
        }
        assert!(with_date(|date| date.len() == 29 && date.ends_with(b" GMT")));
    }
}
