//! How many pods each ReplicaSet is to have next: rolling, recreating, and scaling in the middle of a rollout.
//!
//! **Invariant:** with `RollingUpdate`, the sum of pods asked for never exceeds replicas + maxSurge because of a step taken here, and
//! no available pod is given up that would leave fewer than replicas − maxUnavailable.
//! Source: Kubernetes documentation, "Deployments": "Rolling Update Deployment", "Proportional scaling".
use super::super::object::{is_controlled_by, text};
use super::super::step::Step;
use super::sets::Set;
use super::want::{Strategy, Want};
use crate::Object;
use std::sync::Arc;

/// ReplicaSets under one plan, and the events of its edits.
pub(super) struct Rollout<'a> {
    pub deployment: &'a Arc<Object>,
    pub want: &'a Want,
    /// The current ReplicaSet.
    pub new: Option<Set>,
    /// The others, oldest first.
    pub old: Vec<Set>,
    /// Events of what was edited.
    pub said: Vec<Step>,
}

impl Rollout<'_> {
    /// Pods asked for, over all ReplicaSets.
    pub fn total(&self) -> i64 {
        self.all().map(|s| s.replicas).sum()
    }

    /// Current and old.
    pub fn all(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().chain(&self.new)
    }

    /// Pods that the current ReplicaSet, now of `has`, may ask for.
    pub fn room_for_new(&self, has: i64) -> i64 {
        match self.want.strategy {
            Strategy::Recreate => self.want.replicas,
            Strategy::RollingUpdate { surge, .. } => {
                let room = self.want.replicas + surge - self.total();
                if room <= 0 { has } else { has + room.min(self.want.replicas - has).max(0) }
            }
        }
    }

    /// One step of a rolling update: up where there is room, else down.
    pub fn roll(&mut self) {
        if !self.scale_new() {
            self.scale_old();
        }
    }

    fn scale_new(&mut self) -> bool {
        let Some(has) = self.new.as_ref().map(|s| s.replicas) else { return false };
        let to = if has > self.want.replicas { self.want.replicas } else { self.room_for_new(has) };
        let (want, deployment) = (self.want, self.deployment);
        if let Some(new) = &mut self.new {
            new.scale(to, want, deployment, &mut self.said);
        }
        to != has
    }

    fn scale_old(&mut self) {
        let new_unavailable = self.new.as_ref().map_or(0, |s| (s.replicas - s.available).max(0));
        let least_available = self.want.replicas - self.want.unavailable();
        let mut spare = self.total() - least_available - new_unavailable;
        if spare <= 0 {
            return;
        }
        let (want, deployment, said) = (self.want, self.deployment, &mut self.said);
        // Pods that serve nobody go first; a broken rollout that is undone does not cost a healthy pod.
        for set in &mut self.old {
            let down = spare.min(set.replicas - set.available).max(0);
            if down > 0 {
                set.scale(set.replicas - down, want, deployment, said);
                spare -= down;
            }
        }
        let available: i64 = self.old.iter().chain(&self.new).map(|s| s.available.min(s.replicas)).sum();
        let mut spare = available - least_available;
        for set in &mut self.old {
            let down = spare.min(set.replicas).max(0);
            if down > 0 {
                set.scale(set.replicas - down, want, deployment, said);
                spare -= down;
            }
        }
    }

    /// Recreate, first half: no old ReplicaSet asks for pods. Tells whether anything changed.
    pub fn stop_old(&mut self) -> bool {
        let (want, deployment, said) = (self.want, self.deployment, &mut self.said);
        let before = said.len();
        self.old.iter_mut().filter(|s| s.replicas > 0).for_each(|s| s.scale(0, want, deployment, said));
        said.len() > before
    }

    /// Recreate: whether pods of an old ReplicaSet still run.
    pub fn old_pods_run(&self, pods: &[Arc<Object>]) -> bool {
        pods.iter().any(|pod| {
            !matches!(text(pod, "/status/phase"), "Failed" | "Succeeded")
                && !self.new.as_ref().is_some_and(|new| is_controlled_by(pod, &new.object))
        })
    }

    /// Whether the Deployment was scaled since its ReplicaSets were. `Recreate` needs no such step: it knows two sizes, all and none.
    pub fn was_scaled(&self) -> bool {
        self.want.strategy != Strategy::Recreate
            && self.all().any(|s| s.replicas > 0 && s.desired().is_some_and(|d| d != self.want.replicas))
    }

    /// Brings a scaled Deployment's ReplicaSets to size without moving its rollout.
    pub fn rescale(&mut self) {
        let (want, deployment) = (self.want, self.deployment);
        let active = self.all().filter(|s| s.replicas > 0).count();
        if active == 0 {
            // Scaled to zero earlier: the current one comes back, or the newest where the current template was never started.
            let said = &mut self.said;
            let Some(set) = self.new.as_mut().or_else(|| self.old.last_mut()) else { return };
            return set.scale(want.replicas, want, deployment, said);
        }
        let is_saturated = self.new.as_ref().is_some_and(|n| {
            n.desired() == Some(want.replicas) && n.replicas == want.replicas && n.available == want.replicas
        });
        let said = &mut self.said;
        if active > 1 && is_saturated {
            return self.old.iter_mut().filter(|s| s.replicas > 0).for_each(|s| s.scale(0, want, deployment, said));
        }
        let mut sets: Vec<&mut Set> = self.old.iter_mut().chain(&mut self.new).filter(|s| s.replicas > 0).collect();
        if let [only] = &mut sets[..] {
            return only.scale(want.replicas, want, deployment, said);
        }
        let sizes = proportional(&sets.iter().map(|s| (s.replicas, s.max(), s.created)).collect::<Vec<_>>(), want);
        for (set, size) in sets.iter_mut().zip(sizes) {
            set.scale(size, want, deployment, said);
        }
    }
}

/// Sizes of several active ReplicaSets after a scaling: each gets its share, the largest the remainder.
///
/// In: size, what the Deployment could have at most when this one was last scaled, and its age.
fn proportional(sets: &[(i64, Option<i64>, Option<jiff::Timestamp>)], want: &Want) -> Vec<i64> {
    let allowed = if want.replicas > 0 { want.replicas + want.surge() } else { 0 };
    let to_add = allowed - sets.iter().map(|s| s.0).sum::<i64>();
    let mut order: Vec<usize> = (0..sets.len()).collect();
    // Largest first; of equals the newer gains and the older loses.
    order.sort_by(|&a, &b| {
        let by_age = if to_add > 0 { sets[b].2.cmp(&sets[a].2) } else { sets[a].2.cmp(&sets[b].2) };
        sets[b].0.cmp(&sets[a].0).then(by_age)
    });
    let mut sizes: Vec<i64> = sets.iter().map(|s| s.0).collect();
    let mut added = 0;
    for &i in &order {
        let (size, max_before, _) = sets[i];
        let fair = if want.replicas == 0 {
            -size
        } else {
            // Half away from zero, as Kubernetes rounds it.
            let max_before = max_before.filter(|&m| m > 0).unwrap_or(want.replicas).max(1);
            (2 * size * allowed + max_before).div_euclid(2 * max_before) - size
        };
        let left = to_add - added;
        let share = if to_add > 0 { fair.min(left).max(0) } else { fair.max(left).min(0) };
        sizes[i] += share;
        added += share;
    }
    if let Some(&first) = order.first() {
        sizes[first] = (sizes[first] + to_add - added).max(0);
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_scaling_in_the_middle_of_a_rollout_is_shared_in_proportion() {
        // Kubernetes' own example: 10 replicas, surge 3, 8 old and 5 new, scaled to 15.
        for (replicas, surge, sizes, max, want) in [
            (15, 3, vec![8, 5], 13, vec![11, 7]),
            (5, 3, vec![8, 5], 13, vec![5, 3]),
            (0, 3, vec![8, 5], 13, vec![0, 0]),
            (4, 1, vec![1, 1], 3, vec![2, 3]),
        ] {
            let want_read = Want::read(
                &json!({"spec": {"replicas": replicas, "strategy": {"rollingUpdate": {"maxSurge": surge}}}}),
            );
            let age = |i: i64| jiff::Timestamp::from_second(i).ok();
            let sets: Vec<_> = sizes.iter().enumerate().map(|(i, s)| (*s, Some(max), age(i as i64))).collect();
            assert_eq!(proportional(&sets, &want_read), want, "{sizes:?} to {replicas}");
        }
    }
}
