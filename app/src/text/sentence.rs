//! The sentence above the picture: failure first, then what was measured, whether it is what was asked for, and how sure that is.
//! Pure: facts in, words out. The server makes it, in the language of each stream.
use super::figures::pair;
use super::{Lang, condition, failure, thousands};
use crate::model::{banners, fixed};
use wire::{Condition, Failing, Sentence, Split, Status, Tone, Traffic, Verdict, VerdictKind, kinds, reasons};

/// Where at least this share of the requests fails, percent, the split is not judged: what is left of it says little.
const NOT_JUDGED: f64 = 5.0;
/// What so few seconds of load will settle is being measured, and no verdict yet.
const SOON_S: f64 = 2.0;

/// The sentence for a state.
pub fn sentence(lang: Lang, status: &Status, t: &Traffic) -> Sentence {
    let Some(failing) = &t.frame.failing else { return split(lang, status, t) };
    let failed = failed(lang, status, failing, t.frame.at_ms);
    let cause = banners(status).into_iter().find(|banner| can_fail_requests(&banner.says));
    let cause = cause.map(|banner| condition(lang, &banner.says)).unwrap_or_default();
    if failing.share >= NOT_JUDGED {
        return Sentence { tone: Tone::Bad, text: failed, detail: cause };
    }
    let measured = split(lang, status, t).text;
    Sentence { tone: Tone::Warn, text: joined(lang, &failed, &measured), detail: cause }
}

/// What else the page warns of, a load that is capped for example, is no cause of failures.
fn can_fail_requests(condition: &Condition) -> bool {
    let reason = condition.reason.as_str();
    condition.kind == kinds::PODS_RUN
        || matches!(
            reason,
            reasons::SUBSET_MISSING
                | reasons::VERSION_NOT_READY
                | reasons::DEGRADED
                | reasons::ROUTE_SAYS_MORE
                | reasons::ROUTE_IN_PART
                | reasons::TARGET_SATURATED
                | reasons::NOT_READY
                | reasons::NO_CLIENT
        )
}

fn joined(lang: Lang, first: &str, second: &str) -> String {
    let gap = if lang == Lang::En && !second.is_empty() { " " } else { "" };
    format!("{first}{gap}{second}")
}

fn pick(lang: Lang, en: String, zh: String) -> String {
    if lang == Lang::Zh { zh } else { en }
}

/// What fails, how, by whom and for how long.
fn failed(lang: Lang, status: &Status, failing: &Failing, now_ms: u64) -> String {
    let kind = failure(lang, &failing.kind);
    let answered = failing.kind.starts_with("status_");
    let sidecar = status.pods.iter().any(|pod| pod.sidecar && !pod.workload.starts_with("flaskapp-v"));
    let how = match (&failing.version, answered, sidecar) {
        (Some(version), true, _) => pick(lang, format!("{version} answers {kind}"), format!("{version} 返回 {kind}")),
        (None, true, true) => {
            pick(lang, format!("the client's sidecar answers {kind}"), format!("客户端的 sidecar 返回 {kind}"))
        }
        (None, true, false) => pick(lang, format!("the answer is {kind}"), format!("返回 {kind}")),
        _ => kind,
    };
    let seconds = now_ms.saturating_sub(failing.since_ms) / 1000;
    let long = if seconds < 120 {
        pick(lang, format!("{} s", seconds.max(1)), format!("{} 秒", seconds.max(1)))
    } else {
        pick(lang, format!("{} min", seconds / 60), format!("{} 分钟", seconds / 60))
    };
    if failing.share >= 100.0 {
        return pick(
            lang,
            format!("No request succeeds: {how}, for {long}."),
            format!("所有请求均失败：{how}，已持续 {long}。"),
        );
    }
    let share = fixed(failing.share, 1);
    pick(
        lang,
        format!("{share} % of the requests fail: {how}, for {long}."),
        format!("{share}% 的请求失败：{how}，已持续 {long}。"),
    )
}

/// What was measured since the last change.
fn split(lang: Lang, status: &Status, t: &Traffic) -> Sentence {
    let runs = t.frame.target_rate > 0.0;
    let Some(v) = &t.verdict else {
        let text = if runs {
            pick(lang, "Measuring …".to_owned(), "测量中……".to_owned())
        } else {
            pick(lang, "Nothing has been measured yet.".to_owned(), "尚无测量数据。".to_owned())
        };
        return Sentence { text, ..Sentence::default() };
    };
    let rate = t.frame.target_rate;
    let soon = match v.kind {
        VerdictKind::NoTraffic => runs,
        VerdictKind::TooFew => rate > 0.0 && v.needed as f64 / rate < SOON_S,
        _ => false,
    };
    if soon {
        let text = pick(
            lang,
            "Measuring what reaches each version since the last change …".to_owned(),
            "自上次更改起，正在测量各版本收到的请求……".to_owned(),
        );
        return Sentence { text, ..Sentence::default() };
    }
    let measured = measured(lang, v, t);
    let (tone, text) = if v.kind == VerdictKind::NoRoute {
        (Tone::Plain, without_weights(lang, status, &measured))
    } else {
        told(lang, v, &measured, &asked(v, t.frame.desired.as_ref()))
    };
    Sentence { tone, text, detail: how_sure(lang, v) }
}

/// "20.4 % of 11,994 requests went to v2", or of each version where there are more than two.
fn measured(lang: Lang, v: &Verdict, t: &Traffic) -> String {
    let n = thousands(v.requests);
    let many = t.frame.desired.as_ref().is_some_and(|split| split.iter().count() > 2);
    if many && v.requests > 0 {
        let share = |n: u64| fixed(n as f64 * 100.0 / v.requests as f64, 1).to_string();
        let all: Vec<String> = t.frame.since.iter().map(|(name, n)| format!("{name} {}", share(*n))).collect();
        let all = all.join(" · ");
        return pick(lang, format!("Of {n} requests {all} %"), format!("{n} 个请求：{all}%"));
    }
    let (seen, version) = (fixed(v.observed, 1), &v.version);
    pick(lang, format!("{seen} % of {n} requests went to {version}"), format!("{n} 个请求中 {seen}% 流向 {version}"))
}

/// The desired split: `80/20`.
fn asked(v: &Verdict, desired: Option<&Split>) -> String {
    match desired.filter(|split| split.iter().count() > 2) {
        Some(split) => split.iter().map(|(_, weight)| weight.percent().to_string()).collect::<Vec<_>>().join("/"),
        None => pair(v.desired),
    }
}

/// No route at all, and a route whose weights cannot be read, are two states.
fn without_weights(lang: Lang, status: &Status, measured: &str) -> String {
    if status.condition(kinds::ROUTE_PRESENT).is_none_or(|c| c.reason == reasons::NO_ROUTE) {
        return pick(
            lang,
            format!("{measured}: there is no route, so requests are spread over the ready pods."),
            format!("{measured}：没有路由，请求分散到各个就绪的 Pod。"),
        );
    }
    pick(
        lang,
        format!("{measured}: the route decides, but has no weights between subsets that could be shown."),
        format!("{measured}：由路由决定去向，但其中没有可显示的子集权重。"),
    )
}

fn told(lang: Lang, v: &Verdict, measured: &str, desired: &str) -> (Tone, String) {
    let (versus, n, needed) = (pair(v.versus), thousands(v.requests), thousands(v.needed));
    let (tone, en, zh) = match v.kind {
        VerdictKind::NoTraffic => (
            Tone::Plain,
            "No request since the last change: start the load to see where they go.".to_owned(),
            "自上次更改以来没有请求：启动负载即可看到去向。".to_owned(),
        ),
        VerdictKind::TooFew => (
            Tone::Plain,
            format!("{n} requests cannot tell {desired} from {versus}: {needed} more would."),
            format!("{n} 个请求无法区分 {desired} 与 {versus}：还需 {needed} 个。"),
        ),
        VerdictKind::InKeeping => {
            (Tone::Good, format!("{measured}: consistent with {desired}."), format!("{measured}：符合 {desired}。"))
        }
        VerdictKind::Borderline => (
            Tone::Plain,
            format!("{measured}; {desired} was asked for. Chance alone is so far off once in twenty times."),
            format!("{measured}，设定为 {desired}。仅凭偶然，二十次中也会有一次偏离至此。"),
        ),
        VerdictKind::OffTarget => (
            Tone::Warn,
            format!("{measured}: not consistent with {desired}."),
            format!("{measured}：不符合 {desired}。"),
        ),
        VerdictKind::ClientHasNoSidecar => (
            Tone::Warn,
            format!(
                "The client has no sidecar, so nothing applies the weights: each connection goes to a random pod. {measured}."
            ),
            format!("客户端没有 sidecar，权重不起作用：每个连接随机落到一个 Pod。{measured}。"),
        ),
        VerdictKind::NoRoute => (Tone::Plain, format!("{measured}."), format!("{measured}。")),
    };
    (tone, pick(lang, en, zh))
}

/// The interval, and what it rules out; empty where the margin of independent requests means nothing.
fn how_sure(lang: Lang, v: &Verdict) -> String {
    if v.requests == 0 || v.kind == VerdictKind::ClientHasNoSidecar {
        return String::new();
    }
    let (low, high) = (fixed((v.observed - v.margin).max(0.0), 1), fixed((v.observed + v.margin).min(100.0), 1));
    let version = &v.version;
    let interval = pick(
        lang,
        format!("The true share of {version} lies between {low} and {high} % (95 %)."),
        format!("{version} 的真实占比在 {low}% 到 {high}% 之间（95% 置信区间）。"),
    );
    if v.needed == 0 || (v.desired - v.versus).abs() < 0.5 || v.kind == VerdictKind::TooFew {
        return interval;
    }
    let (needed, versus) = (thousands(v.needed), pair(v.versus));
    let more = pick(
        lang,
        format!("{needed} more requests would tell it from {versus}."),
        format!("再有 {needed} 个请求即可与 {versus} 区分。"),
    );
    joined(lang, &interval, &more)
}

#[cfg(test)]
#[path = "sentence_tests.rs"]
mod tests;
