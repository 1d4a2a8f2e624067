//! `curl`: as much of curl as the walkthrough's commands need. Plain http, through `http_proxy`; exit codes are curl's.
use super::http::{self, Ask, AskError};
use super::output::Output;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Method, Response, Uri};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Arguments of `curl`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// No progress and no error messages
    #[arg(short = 's', long)]
    silent: bool,
    /// With -s, error messages all the same
    #[arg(short = 'S', long)]
    show_error: bool,
    /// Print the answers' headers too
    #[arg(short = 'i', long, alias = "show-headers")]
    include: bool,
    /// Ask for the headers alone
    #[arg(short = 'I', long)]
    head: bool,
    /// Write bodies to a file of the working folder, by its plain name, or to `-` or /dev/null
    #[arg(short = 'o', long, value_name = "FILE", allow_hyphen_values = true)]
    output: Option<String>,
    /// What to print after each answer, `%{http_code}` for example
    #[arg(short = 'w', long, value_name = "FORMAT", allow_hyphen_values = true)]
    write_out: Option<String>,
    /// A header to send; `Name:` leaves one out
    #[arg(short = 'H', long, value_name = "HEADER")]
    header: Vec<String>,
    /// Another method
    #[arg(short = 'X', long, value_name = "METHOD")]
    request: Option<String>,
    /// A body to POST
    #[arg(short = 'd', long, alias = "data-raw", value_name = "DATA", allow_hyphen_values = true)]
    data: Vec<String>,
    /// Longest time for all of one transfer, seconds
    #[arg(short = 'm', long, value_name = "SECONDS", value_parser = seconds)]
    max_time: Option<Duration>,
    /// Longest time until there is an answer's head, seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    connect_timeout: Option<Duration>,
    /// Show the heads that go out and come in
    #[arg(short = 'v', long)]
    verbose: bool,
    /// Fail, without a body, on answers of 400 and above
    #[arg(short = 'f', long)]
    fail: bool,
    /// Follow redirects
    #[arg(short = 'L', long)]
    location: bool,
    /// The proxy, instead of the environment's; an empty text means none
    #[arg(short = 'x', long, value_name = "[http://]HOST[:PORT]")]
    proxy: Option<String>,
    /// `http://…`
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|s| Duration::try_from_secs_f64(s).ok())
        .ok_or_else(|| format!("`{text}` is not a number of seconds"))
}

/// Why a transfer failed, with curl's exit code.
struct Failure {
    code: u8,
    message: String,
}

impl From<AskError> for Failure {
    fn from(e: AskError) -> Failure {
        let code = match &e {
            AskError::Scheme(_) => 1,
            AskError::Url(_) => 3,
            AskError::ResolveProxy(_) => 5,
            AskError::Resolve(_) => 6,
            AskError::Direct(_) => 7,
            AskError::Connect(..) => 7,
            AskError::Broken(e) if e.is_incomplete_message() => 52,
            AskError::Broken(_) => 56,
        };
        let message = if code == 52 { "Empty reply from server".to_owned() } else { e.to_string() };
        Failure { code, message }
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Failure {
        Failure { code: 23, message: format!("Failure writing output to destination: {e}") }
    }
}

fn failure(code: u8, message: impl Into<String>) -> Failure {
    Failure { code, message: message.into() }
}

/// What is known of a transfer when it ends, for `-w`.
#[derive(Default)]
struct Seen {
    code: u16,
    bytes: u64,
    url: String,
    redirects: u32,
    kind: String,
}

impl Args {
    /// Asks each URL in turn; ends with the last one's exit code.
    pub fn run(self) -> ExitCode {
        super::block_on("curl", async move {
            let (mut out, mut err) = (io::stdout(), io::stderr());
            tokio::select! {
                code = self.transfers(&mut out, &mut err) => ExitCode::from(code),
                () = super::life::asked_to_end() => ExitCode::from(143),
            }
        })
    }

    async fn transfers(&self, out: &mut impl Write, err: &mut impl Write) -> u8 {
        let mut file = match self.output.as_deref().map(Output::open).transpose() {
            Ok(file) => file.flatten(),
            Err(e) => {
                self.complain(err, &Failure::from(e));
                return 23;
            }
        };
        let mut code = 0;
        for url in &self.urls {
            let (mut seen, began) = (Seen { url: url.clone(), ..Seen::default() }, Instant::now());
            let limit = self.max_time.filter(|t| !t.is_zero()).unwrap_or(Duration::MAX);
            let result = match &mut file {
                Some(file) => tokio::time::timeout(limit, self.transfer(url, &mut seen, file, err)).await,
                None => tokio::time::timeout(limit, self.transfer(url, &mut seen, out, err)).await,
            };
            let timed_out = || {
                failure(
                    28,
                    format!(
                        "Operation timed out after {} milliseconds with {} bytes received",
                        began.elapsed().as_millis(),
                        seen.bytes
                    ),
                )
            };
            code = match result.unwrap_or_else(|_| Err(timed_out())) {
                Ok(()) => 0,
                Err(why) => {
                    self.complain(err, &why);
                    why.code
                }
            };
            if let Some(format) = &self.write_out {
                let text = write_out(format, &seen, began.elapsed());
                if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
                    return 23;
                }
            }
        }
        code
    }

    fn complain(&self, err: &mut impl Write, why: &Failure) {
        if !self.silent || self.show_error {
            // Nobody to tell it to: the exit code still says it.
            let _ = writeln!(err, "curl: ({}) {}", why.code, why.message);
        }
    }

    async fn transfer(
        &self,
        url: &str,
        seen: &mut Seen,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> Result<(), Failure> {
        let mut url = http::parse_url(url)?;
        loop {
            let ask = self.ask(url.clone())?;
            let answer = tokio::time::timeout(self.connect_timeout.unwrap_or(Duration::MAX), http::ask(ask));
            let mut answer = answer.await.map_err(|_| failure(28, "Connection timed out"))??;
            let head = head_text(&answer.response);
            if self.verbose {
                // What -v shows is for people; where standard error is closed the transfer goes on.
                let _ = answer.sent.lines().try_for_each(|line| writeln!(err, "> {line}"));
                let _ = writeln!(err, ">")
                    .and_then(|()| head.lines().try_for_each(|line| writeln!(err, "< {}", line.trim_end())));
            }
            seen.code = answer.response.status().as_u16();
            let kind = answer.response.headers().get(CONTENT_TYPE).and_then(|k| k.to_str().ok());
            seen.kind = kind.unwrap_or_default().to_owned();
            seen.url = url.to_string();
            if self.fail && seen.code >= 400 {
                return Err(failure(22, format!("The requested URL returned error: {}", seen.code)));
            }
            if self.include || self.head {
                out.write_all(head.as_bytes())?;
            }
            if self.location
                && let Some(next) = redirect(&url, &answer.response)?
            {
                seen.redirects += 1;
                if seen.redirects > 50 {
                    return Err(failure(47, "Maximum (50) redirects followed"));
                }
                url = next;
                continue;
            }
            while let Some(frame) = answer.response.body_mut().frame().await {
                let frame = frame.map_err(|_| failure(18, "transfer closed with outstanding read data remaining"))?;
                let data = frame.into_data().unwrap_or_default();
                seen.bytes += data.len() as u64;
                out.write_all(&data)?;
            }
            out.flush()?;
            return Ok(());
        }
    }

    fn ask(&self, url: Uri) -> Result<Ask, Failure> {
        let method = match (&self.request, self.head, self.data.is_empty()) {
            (Some(name), _, _) => Method::from_bytes(name.as_bytes())
                .map_err(|_| failure(3, format!("`{}` is not a method", name.escape_debug())))?,
            (None, true, _) => Method::HEAD,
            (None, false, false) => Method::POST,
            (None, false, true) => Method::GET,
        };
        let mut headers = HeaderMap::new();
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("curl/8 (demo-panel ", env!("CARGO_PKG_VERSION"), ")")),
        );
        headers.insert("accept", HeaderValue::from_static("*/*"));
        if !self.data.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        }
        let mut own = HeaderMap::new();
        for line in &self.header {
            let wrong = || failure(43, format!("`{}` is not a header", line.escape_debug()));
            let (name, value) = line.split_once(':').ok_or_else(wrong)?;
            let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
            headers.remove(&name);
            if !value.trim().is_empty() {
                own.append(name, HeaderValue::from_str(value.trim()).map_err(|_| wrong())?);
            }
        }
        headers.extend(own);
        let proxy = match &self.proxy {
            Some(text) if text.is_empty() => None,
            Some(text) => Some(
                http::proxy_authority(text)
                    .ok_or_else(|| failure(5, format!("Could not resolve proxy: {}", text.escape_debug())))?,
            ),
            None => http::proxy_of_environment(),
        };
        Ok(Ask { method, url, headers, body: Bytes::from(self.data.join("&")), proxy })
    }
}

fn head_text(response: &Response<Incoming>) -> String {
    let status = response.status();
    let mut text = format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default());
    for (name, value) in response.headers() {
        text.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
    }
    text.push_str("\r\n");
    text
}

/// Where a redirect leads, if it is one.
fn redirect(from: &Uri, response: &Response<Incoming>) -> Result<Option<Uri>, Failure> {
    let location = response.headers().get(LOCATION).and_then(|l| l.to_str().ok());
    let Some(location) = location.filter(|_| response.status().is_redirection()) else { return Ok(None) };
    let authority = from.authority().map_or("", |a| a.as_str());
    let absolute = match location {
        l if l.contains("://") => l.to_owned(),
        l if l.starts_with('/') => format!("http://{authority}{l}"),
        l => {
            let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("http://{authority}{folder}/{l}")
        }
    };
    Ok(Some(http::parse_url(&absolute)?))
}

fn write_out(format: &str, seen: &Seen, took: Duration) -> String {
    let values = [
        ("%{http_code}", format!("{:03}", seen.code)),
        ("%{response_code}", format!("{:03}", seen.code)),
        ("%{size_download}", seen.bytes.to_string()),
        ("%{time_total}", format!("{:.6}", took.as_secs_f64())),
        ("%{url_effective}", seen.url.clone()),
        ("%{num_redirects}", seen.redirects.to_string()),
        ("%{content_type}", seen.kind.clone()),
        ("\\n", "\n".to_owned()),
        ("\\t", "\t".to_owned()),
        ("\\r", "\r".to_owned()),
        ("%%", "%".to_owned()),
    ];
    let mut text = String::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        if let Some((name, value)) = values.iter().find(|(name, _)| rest.starts_with(name)) {
            text.push_str(value);
            rest = &rest[name.len()..];
        } else {
            text.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    text
}

#[cfg(test)]
#[path = "curl_tests.rs"]
mod tests;
