//! What is looked at, and when: links, and a form for what is typed.
use super::address;
use crate::model::dashboards::clock;
use crate::text::messages::dashboards as said;
use crate::text::{Lang, Message};
use leptos::prelude::*;
use wire::{DashboardQuery, Dashboards, Reporter, Span, View};

/// The row above the charts.
#[component]
pub fn Tools(lang: Lang, shown: Dashboards) -> impl IntoView {
    let t = move |message: Message| message.said(lang).to_owned();
    let link = |text: String, pressed: bool, change: &dyn Fn(&mut DashboardQuery)| {
        view! { <a href=address(&shown, change) aria-current=pressed.then_some("true")>{text}</a> }
    };
    let query = &shown.query;
    let views = [(View::Mesh, said::mesh()), (View::Workload, said::workload())]
        .map(|(view, name)| link(t(name), query.view == view, &|q| q.view = view));
    let reporters = [(Reporter::Source, said::source()), (Reporter::Destination, said::destination())]
        .map(|(reporter, name)| link(t(name), query.reporter == reporter, &|q| q.reporter = reporter));
    let spans = Span::LIVE.map(|seconds| {
        let span = Span::Last(seconds);
        link(t(said::minutes((seconds / 60).to_string())), query.span == span, &|q| q.span = span)
    });
    let live = link(t(said::live()), query.span.is_live(), &|q| q.span = toggled(q.span, &shown));
    let csv = address(&shown, |_| {}).replacen("/dashboards?", "/api/demo/dashboards?format=csv&", 1);
    let numbers = said::numbers(clock(shown.from_ms), clock(shown.to_ms));
    let workload = (query.view == View::Workload).then(|| {
        view! { <div class="seg" role="group" aria-label=t(said::reporter())><span>{t(said::reporter())}</span>{reporters}</div> }
    });
    view! {
        <div class="tools">
            <nav class="seg" aria-label=t(said::view())>{views}</nav>
            <Chosen lang shown=shown.clone()/>
            {workload}
            <span class="when">{t(numbers)}</span>
            <div class="seg" role="group" aria-label=t(said::span())>{spans}<span class="rule"></span>{live}</div>
            <a class="button" href=csv data-testid="csv">{t(said::csv())}</a>
        </div>
    }
}

/// Live becomes the time that is shown; a time that is over becomes the last five minutes.
fn toggled(span: Span, shown: &Dashboards) -> Span {
    let (from, to) = (shown.from_ms / 1_000, shown.to_ms.div_ceil(1_000));
    match span {
        Span::Last(_) if (Span::MIN_S..=Span::MAX_S).contains(&to.saturating_sub(from)) => Span::Between { from, to },
        Span::Last(seconds) => Span::Last(seconds),
        Span::Between { .. } => Span::default(),
    }
}

/// The form: the workload, or the objective. What else is in the address goes with it.
#[component]
fn Chosen(lang: Lang, shown: Dashboards) -> impl IntoView {
    let t = move |message: Message| message.said(lang).to_owned();
    let query = shown.query.clone();
    let own = if query.view == View::Workload { "workload" } else { "slo" };
    let mut kept = vec![("namespace".to_owned(), shown.namespace.to_string())];
    let pairs = query.written();
    let pairs = pairs.split('&').filter_map(|pair| pair.split_once('='));
    kept.extend(pairs.filter(|(name, _)| *name != own).map(|(name, value)| (name.to_owned(), value.to_owned())));
    let kept =
        kept.into_iter().map(|(name, value)| view! { <input type="hidden" name=name value=value/> }).collect_view();
    let field = match &shown.workload {
        Some(board) => {
            let options = board.names.iter().map(|name| {
                view! { <option value=name.clone() selected=*name == board.name>{name.clone()}</option> }
            });
            let options = options.collect_view();
            view! { <label>{t(said::workload())} " " <select name="workload" data-testid="workload">{options}</select></label> }.into_any()
        }
        None => view! {
            <label>{t(said::objective())} " " <input class="num" name="slo" inputmode="decimal" data-testid="slo" value=query.slo.to_string()/> "%"</label>
        }
        .into_any(),
    };
    view! { <form class="chosen" action="/dashboards" method="get">{kept}{field}<button type="submit">{t(said::show())}</button></form> }
}
