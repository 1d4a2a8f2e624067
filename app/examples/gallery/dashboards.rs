//! Sample numbers for the dashboards: five minutes at 200 requests/s, the weights changed once, v2 failing in the last half minute.
use wire::*;

const STEP_MS: u64 = 3_000;
const BOUNDS_MS: [f64; 8] = [0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 25.0, 50.0];

/// Requests of one step, of which some failed.
fn tally(seconds: f64, requests: u64, failed: u64) -> Tally {
    let known = |n: f64| (requests > 0).then_some(n);
    let bucket_ms = None;
    Tally {
        seconds,
        requests,
        failed,
        timed: requests,
        rate: Some(requests as f64 / seconds),
        success_percent: known(100.0 * (requests - failed) as f64 / requests.max(1) as f64),
        p50_ms: (requests >= 2).then_some(1.4 + (requests % 7) as f64 / 20.0),
        p90_ms: (requests >= 10).then_some(2.6 + (requests % 5) as f64 / 10.0),
        p99_ms: (requests >= 100).then_some(6.0 + (requests % 11) as f64 / 3.0),
        bucket_ms,
        request_bytes: known(318.0),
        response_bytes: known(190.0),
    }
}

fn series(name: &str, points: &[(u64, u64)]) -> Series {
    let seconds = STEP_MS as f64 / 1_000.0;
    let (requests, failed) = points.iter().fold((0, 0), |(n, f), point| (n + point.0, f + point.1));
    let total = tally(seconds * points.len() as f64, requests, failed);
    Series::new(name.to_owned(), total, points.iter().map(|(n, f)| tally(seconds, *n, *f)).collect())
}

fn budget(of: &Series, slo: Slo) -> Budget {
    let Tally { requests, failed, seconds, .. } = of.total;
    let allowed = requests as f64 * slo.allowed();
    Budget {
        period_s: BUDGET_S,
        read_s: seconds,
        requests,
        failed,
        allowed,
        left_percent: Some(100.0 * (1.0 - failed as f64 / allowed)),
        burn_period_s: BURN_S,
        burn_rate: Some(failed as f64 / allowed),
    }
}

/// The numbers of a query.
pub fn shown(namespace: Namespace, query: DashboardQuery, now_ms: u64) -> Dashboards {
    let begin = now_ms / STEP_MS * STEP_MS - 100 * STEP_MS;
    let v2 = |at: u64| if at < 40 { 120 } else { 300 };
    let v1: Vec<(u64, u64)> = (0..100).map(|at| (600 - v2(at) + at * 7 % 11, 0)).collect();
    let v2: Vec<(u64, u64)> = (0..100).map(|at| (v2(at) + at * 5 % 9, if at < 90 { 0 } else { 40 })).collect();
    let sum: Vec<(u64, u64)> = v1.iter().zip(&v2).map(|(a, b)| (a.0 + b.0, a.1 + b.1)).collect();
    let (all, v1, v2) = (series("flaskapp", &sum), series("v1", &v1), series("v2", &v2));
    let version = |series: &Series| VersionRow { budget: budget(series, query.slo), version: series.clone() };
    let left = |at: u64| BudgetPoint {
        at_ms: begin + at * STEP_MS,
        left_percent: if at < 90 { 100.0 } else { 100.0 - (at - 90) as f64 * 15.0 },
    };
    let heat: Vec<Vec<u64>> = (0..100).map(|at| vec![4, 150, 260, 120, 40, 20, 5 + at % 3, 1, 0]).collect();
    let mesh = query.view == View::Mesh;
    let services = mesh.then(|| ServiceRow {
        budget: budget(&all, query.slo),
        budget_left: (0..100).map(left).collect(),
        versions: vec![version(&v1), version(&v2)],
        service: all.clone(),
    });
    let workload = (!mesh).then(|| WorkloadBoard {
        name: query.workload.clone(),
        names: ["flaskapp", "flaskapp-v1", "flaskapp-v2", "simple-flask-app-client"].map(str::to_owned).to_vec(),
        inbound: true,
        all: all.clone(),
        versions: vec![v1, v2],
        codes: vec![
            series("200", &sum.iter().map(|(n, f)| (n - f, 0)).collect::<Vec<_>>()),
            series("503", &sum.iter().map(|(_, f)| (*f, *f)).collect::<Vec<_>>()),
        ],
        sources: vec![series("simple-flask-app-client", &sum)],
        destinations: Vec::new(),
        histogram: DurationHistogram {
            bounds_ms: BOUNDS_MS.to_vec(),
            counts: (0..9).map(|at| heat.iter().map(|step| step[at]).sum()).collect(),
            steps: heat,
        },
    });
    Dashboards {
        namespace,
        from_ms: begin,
        to_ms: begin + 100 * STEP_MS,
        age_ms: Some(400),
        source: "sidecars".to_owned(),
        metrics: vec!["istio_requests_total".to_owned()],
        steps: (0..100).map(|at| Step { from_ms: begin + at * STEP_MS, to_ms: begin + (at + 1) * STEP_MS }).collect(),
        changes: Split::v1_v2(50).map(|split| RouteChange { at_ms: begin + 40 * STEP_MS, split }).into_iter().collect(),
        services: services.into_iter().collect(),
        workload,
        query,
    }
}
