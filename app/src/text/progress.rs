//! How far the lesson has come: checks from conditions, measurements and milestones; the end, with what was proven. Pure.
use super::lesson::{Both, pick};
use super::{Lang, thousands};
use crate::model::fixed;
use wire::{Checked, Milestones, PodView, Progress, Proof, Status, Traffic, kinds, reasons};

/// The checks of each step, in order.
pub fn progress(lang: Lang, status: &Status, traffic: &Traffic) -> Progress {
    let facts = Facts { lang, status, traffic };
    let checks = vec![
        facts.deploy(),
        vec![facts.check(status.is(kinds::VERIFIED), ["A pod has told its PATH", "Pod 已返回自己的 PATH"])],
        facts.inject(),
        facts.load(),
        facts.shift(),
        facts.breaks(),
        vec![facts.check(status.is(kinds::CLEAN), ["Nothing of ours is left", "没有任何残留"])],
    ];
    let end = if status.milestones.cured { end(lang, &status.milestones) } else { Vec::new() };
    Progress { checks, end }
}

struct Facts<'a> {
    lang: Lang,
    status: &'a Status,
    traffic: &'a Traffic,
}

impl Facts<'_> {
    fn check(&self, done: bool, text: Both) -> Checked {
        Checked { done, text: pick(self.lang, text) }
    }

    fn found(&self, done: bool, en: String, zh: String) -> Checked {
        Checked { done, text: if self.lang == Lang::Zh { zh } else { en } }
    }

    /// Ready pods of these.
    fn ready(&self, mine: impl Fn(&PodView) -> bool) -> usize {
        self.status.pods.iter().filter(|pod| pod.is_ready() && mine(pod)).count()
    }

    fn workload(&self, name: &str) -> usize {
        self.ready(|pod| pod.workload == name)
    }

    fn deploy(&self) -> Vec<Checked> {
        let (v1, v2) = (self.workload("flaskapp-v1"), self.workload("flaskapp-v2"));
        let (en, zh) = (format!("Ready pods: {v1} of v1, {v2} of v2"), format!("就绪的 Pod：v1 {v1} 个，v2 {v2} 个"));
        let client = self.workload("simple-flask-app-client") > 0;
        vec![self.found(v1 > 0 && v2 > 0, en, zh), self.check(client, ["The client is ready", "客户端已就绪"])]
    }

    fn inject(&self) -> Vec<Checked> {
        let (all, sidecars) = (self.ready(|_| true), self.ready(|pod| pod.sidecar));
        let client = self.ready(|pod| pod.sidecar && pod.workload == "simple-flask-app-client") > 0;
        let bypasses = self.status.condition(kinds::WEIGHTS_APPLY).map(|c| c.reason.as_str());
        let bypasses = bypasses == Some(reasons::CLIENT_HAS_NO_SIDECAR);
        vec![
            self.found(
                all > 0 && sidecars == all,
                format!("{sidecars} of {all} ready pods have a sidecar"),
                format!("{all} 个就绪的 Pod 中有 {sidecars} 个带 sidecar"),
            ),
            self.check(client && !bypasses, ["The client's requests pass its sidecar", "客户端的请求经过其 sidecar"]),
        ]
    }

    fn load(&self) -> Vec<Checked> {
        let rate = self.status.load.rate.per_second();
        let n = thousands(u64::from(rate));
        let sent = if rate > 0 {
            self.found(true, format!("{n} requests/s are sent"), format!("每秒发送 {n} 个请求"))
        } else {
            self.check(false, ["Requests are sent", "正在发送请求"])
        };
        let answered = |version: &str| self.traffic.frame.counts.get(version).is_some_and(|n| *n > 0);
        let both = match &self.status.milestones.even {
            Some(proof) => Checked { done: true, text: measured(self.lang, proof) },
            None => self.check(answered("v1") && answered("v2"), ["Both versions have answered", "两个版本都已应答"]),
        };
        vec![sent, both]
    }

    fn shift(&self) -> Vec<Checked> {
        let Milestones { weighted, one: all_to_one, .. } = &self.status.milestones;
        let uneven = self.status.desired.as_ref().is_some_and(|split| *split != split.even());
        let set = weighted.is_some() || uneven && self.status.is(kinds::ROUTE_ACKNOWLEDGED);
        let share = match weighted {
            Some(proof) => Checked { done: true, text: measured(self.lang, proof) },
            None => self.check(false, ["The measured share contains what was asked for", "实测占比与设定相符"]),
        };
        let set = self.check(
            set,
            ["An uneven split is set, and every sidecar has it", "已设置不均等的权重，且所有 sidecar 均已获得"],
        );
        vec![set, share, one(self.lang, all_to_one.as_ref())]
    }

    fn breaks(&self) -> Vec<Checked> {
        let failed = match self.status.milestones.broken {
            Some(share) => {
                let share = fixed(share, 0);
                self.found(
                    true,
                    format!("Up to {share} % of the requests failed"),
                    format!("最多有 {share}% 的请求失败"),
                )
            }
            None => self.check(false, ["Requests of v2 fail", "v2 的请求失败"]),
        };
        let cured = self.status.milestones.cured;
        vec![failed, self.check(cured, ["Every request succeeds again", "所有请求恢复成功"])]
    }
}

/// "19.7 % of 12,431 requests reached v2", with the weights that were asked for.
fn measured(lang: Lang, proof: &Proof) -> String {
    let (share, n) = (fixed(proof.observed, 1), thousands(proof.requests));
    let Proof { desired, version, .. } = proof;
    match (lang, desired.is_empty()) {
        (Lang::En, true) => format!("Without a route {share} % of {n} requests reached {version}"),
        (Lang::En, false) => format!("At {desired}, {share} % of {n} requests reached {version}"),
        (Lang::Zh, true) => format!("没有路由时，{n} 个请求中有 {share}% 到达 {version}"),
        (Lang::Zh, false) => format!("权重 {desired} 时，{n} 个请求中有 {share}% 到达 {version}"),
    }
}

fn one(lang: Lang, proof: Option<&Proof>) -> Checked {
    let text = match (lang, proof) {
        (Lang::En, None) => "With 0/100 not one request reaches v1".to_owned(),
        (Lang::Zh, None) => "权重 0/100 时没有一个请求到达 v1".to_owned(),
        (Lang::En, Some(p)) => {
            format!("At {}, not one of {} requests went elsewhere", p.desired, thousands(p.requests))
        }
        (Lang::Zh, Some(p)) => format!("权重 {} 时，{} 个请求无一例外", p.desired, thousands(p.requests)),
    };
    Checked { done: proof.is_some(), text }
}

/// What was proven, and what to try next.
fn end(lang: Lang, milestones: &Milestones) -> Vec<String> {
    let mut all: Vec<String> = milestones.weighted.iter().map(|proof| measured(lang, proof) + stop(lang)).collect();
    all.extend(milestones.one.iter().map(|proof| one(lang, Some(proof)).text + stop(lang)));
    let next: [Both; 3] = [
        [
            "Next: remove the client's sidecar and watch the weights lose their effect.",
            "接下来：移除客户端的 sidecar，观察权重失去作用。",
        ],
        ["Next: send ten requests at 90/10, several times.", "接下来：在 90/10 下多次发送十个请求。"],
        [
            "Next: delete DestinationRule flaskapp by kubectl, and put it back.",
            "接下来：用 kubectl 删除 DestinationRule flaskapp，再恢复它。",
        ],
    ];
    all.extend(next.map(|both| pick(lang, both)));
    all
}

fn stop(lang: Lang) -> &'static str {
    if lang == Lang::Zh { "。" } else { "." }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
