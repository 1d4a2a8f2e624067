//! `sleep`: waits for so long.
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of `sleep`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Seconds, or a number with s, m, h or d; several are added up; `infinity` never ends
    #[arg(required = true, value_parser = parse, value_name = "TIME")]
    times: Vec<Duration>,
}

impl Args {
    /// Waits, or ends earlier with 143 when asked to.
    pub fn run(self) -> ExitCode {
        let all = self.times.iter().fold(Duration::ZERO, |sum, t| sum.saturating_add(*t));
        super::block_on("sleep", async move {
            tokio::select! {
                () = super::life::asked_to_end() => ExitCode::from(143),
                () = wait(all) => ExitCode::SUCCESS,
            }
        })
    }
}

async fn wait(all: Duration) {
    if all == Duration::MAX { std::future::pending().await } else { tokio::time::sleep(all).await }
}

fn parse(text: &str) -> Result<Duration, String> {
    if ["infinity", "inf"].contains(&text) {
        return Ok(Duration::MAX);
    }
    let (number, unit_s) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1.0),
        Some(b'm') => (&text[..text.len() - 1], 60.0),
        Some(b'h') => (&text[..text.len() - 1], 3_600.0),
        Some(b'd') => (&text[..text.len() - 1], 86_400.0),
        _ => (text, 1.0),
    };
    let number: f64 = number.parse().map_err(|_| format!("invalid time interval '{}'", text.escape_debug()))?;
    Duration::try_from_secs_f64(number * unit_s).map_err(|_| format!("invalid time interval '{}'", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_sleep_reads_them() {
        for (text, read) in [
            ("3", "3s"),
            ("0.25", "250ms"),
            ("2m", "120s"),
            ("1h", "3600s"),
            ("3650d", "315360000s"),
            ("-1", "error"),
            ("x", "error"),
            ("", "error"),
            ("é", "error"),
        ] {
            assert_eq!(parse(text).map_or_else(|_| "error".to_owned(), |d| format!("{d:?}")), read, "{text}");
        }
        assert_eq!(parse("infinity"), Ok(Duration::MAX));
    }
}
