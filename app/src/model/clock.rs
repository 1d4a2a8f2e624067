//! Times for people. The server does not know the browser's zone, so its offset is an argument.

/// `14:02:31`. `zone_min`: minutes to add to UTC.
pub fn wall_clock(at_ms: u64, zone_min: i32) -> String {
    let seconds = i64::try_from(at_ms / 1000).unwrap_or(0) + i64::from(zone_min) * 60;
    let of_day = seconds.rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// `42s`, `3m7s`, `5h`, `2d`: as kubectl prints an age.
pub fn age(created_s: u64, now_ms: u64) -> String {
    let s = (now_ms / 1000).saturating_sub(created_s);
    match s {
        0..120 => format!("{s}s"),
        120..600 if !s.is_multiple_of(60) => format!("{}m{}s", s / 60, s % 60),
        120..10_800 => format!("{}m", s / 60),
        10_800..172_800 => format!("{}h", s / 3600),
        _ => format!("{}d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_browsers_zone() {
        for (at_ms, zone, text) in
            [(0, 0, "00:00:00"), (50_551_000, 0, "14:02:31"), (50_551_000, 120, "16:02:31"), (0, -60, "23:00:00")]
        {
            assert_eq!(wall_clock(at_ms, zone), text);
        }
    }

    #[test]
    fn ages_read_as_kubectls() {
        for (seconds, text) in
            [(0, "0s"), (119, "119s"), (187, "3m7s"), (180, "3m"), (660, "11m"), (10_800, "3h"), (172_800, "2d")]
        {
            assert_eq!(age(1000, (1000 + seconds) * 1000), text);
        }
        assert_eq!(age(2000, 1_000_000), "0s", "a clock behind the server's");
    }
}
