//! The verdict: one sentence with its uncertainty.
use super::{Key, Lang, thousands};
use crate::model::fixed;
use crate::types::{Verdict, VerdictKind};

/// The sentence for a verdict.
pub fn verdict(lang: Lang, v: &Verdict) -> String {
    let percent = format!("{} %", fixed(v.observed, 1));
    let margin = fixed(v.margin, 1).to_string();
    let pair = |share: f64| format!("{}/{}", fixed(100.0 - share, 0), fixed(share, 0));
    let (wish, versus, n, needed) = (pair(v.wished), pair(v.versus), thousands(v.requests), thousands(v.needed));
    let args =
        [("seen", percent.as_str()), ("margin", &margin), ("wish", &wish), ("versus", &versus), ("n", &n), ("needed", &needed), ("version", &v.version)];
    match v.kind {
        VerdictKind::NoTraffic => lang.t(Key::VerdictNoTraffic).to_owned(),
        VerdictKind::TooFew => lang.fill(Key::VerdictTooFew, &args),
        VerdictKind::InKeeping if v.needed > 0 && wish != versus => {
            let gap = if lang == Lang::En { " " } else { "" };
            format!("{}{gap}{}", lang.fill(Key::VerdictInKeeping, &args), lang.fill(Key::VerdictMore, &args))
        }
        VerdictKind::InKeeping => lang.fill(Key::VerdictInKeeping, &args),
        VerdictKind::OffTarget => lang.fill(Key::VerdictOff, &args),
        VerdictKind::ClientHasNoSidecar => lang.fill(Key::VerdictNoSidecar, &args),
        VerdictKind::NoRoute => lang.fill(Key::VerdictNoRoute, &args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_reads_as_one_sentence_with_its_uncertainty() {
        let base = Verdict {
            kind: VerdictKind::InKeeping,
            version: "v2".into(),
            requests: 11_994,
            observed: 20.4,
            margin: 0.7,
            wished: 20.0,
            needed: 380,
            versus: 25.0,
        };
        for (kind, needed, text) in [
            (VerdictKind::InKeeping, 380, "20.4 % went to v2 (± 0.7): consistent with 80/20. 380 more requests would tell it from 75/25."),
            (VerdictKind::InKeeping, 0, "20.4 % went to v2 (± 0.7): consistent with 80/20."),
            (VerdictKind::TooFew, 380, "11,994 requests cannot tell 80/20 from 75/25: 380 more would."),
            (VerdictKind::OffTarget, 0, "20.4 % went to v2 (± 0.7): not consistent with 80/20."),
        ] {
            assert_eq!(verdict(Lang::En, &Verdict { kind, needed, ..base.clone() }), text);
            assert!(!verdict(Lang::Zh, &Verdict { kind, needed, ..base.clone() }).is_empty());
        }
    }
}
