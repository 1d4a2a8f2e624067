//! `pods/log`: reads its options; the lines themselves come from the node.
use super::query::Query;
use crate::kubelet::LogOptions;
use crate::status::Status;
use jiff::Timestamp;

/// # Errors
/// 400 for a query that does not parse, or with both `sinceTime` and `sinceSeconds`.
pub(super) fn options(query: &Query, now: Timestamp) -> Result<LogOptions, Status> {
    let since_time = query.get("sinceTime").map(|text| {
        let time: Timestamp =
            text.parse().map_err(|_| Status::bad_request(format!("sinceTime: \"{text}\" is not an RFC 3339 time")))?;
        Ok::<i64, Status>(now.as_second() - time.as_second())
    });
    let since_seconds = query.number("sinceSeconds")?;
    if since_time.is_some() && since_seconds.is_some() {
        return Err(Status::bad_request("at most one of sinceTime or sinceSeconds may be specified"));
    }
    Ok(LogOptions {
        container: query.get("container").map(str::to_owned),
        follow: query.flag("follow")?,
        previous: query.flag("previous")?,
        timestamps: query.flag("timestamps")?,
        tail_lines: query.number("tailLines")?,
        since_seconds: since_time.transpose()?.or(since_seconds),
        limit_bytes: query.number("limitBytes")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_back_from_now() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let o =
            options(&Query::parse("sinceTime=2026-01-01T00%3A00%3A00Z&tailLines=5&follow=true").unwrap(), now).unwrap();
        assert_eq!((o.since_seconds, o.tail_lines, o.follow), (Some(60), Some(5), true));
        for bad in ["sinceTime=yesterday", "tailLines=-1", "sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z"] {
            assert_eq!(options(&Query::parse(bad).unwrap(), now).unwrap_err().code, 400, "{bad}");
        }
    }
}
