//! The panel's page: state first from the server's HTML, then from the stream; verbs by server functions.
use super::keys::use_keys;
use super::rates::use_rates;
use super::shifting::use_shifter;
use crate::api::{self, Live, Prefs, Snapshot, use_live};
use crate::components::{
    Asks, Banners, Chart, Dialogs, Drawer, ErrorBanner, Header, Headline, Hero, Lesson, Mesh, Page, Toast, Weights,
    flag, measured, say,
};
use crate::model::{SliderMode, slider_mode, versions};
use leptos::prelude::*;
use leptos::task::spawn_local;
use wire::{Command, Namespace};

/// The panel itself.
#[component]
pub fn Panel(first: Snapshot) -> impl IntoView {
    let prefs = api::prefs();
    let ns = first.status.namespace.clone();
    let live = use_live(ns.clone(), first);
    let page = use_page(ns, live, prefs);
    let (ask, stop_load) = use_verbs(page);
    let shifter = use_shifter(page.ns, page.me, live);
    let rates = use_rates(live, ask);
    let open = move |dialog: Asks| Callback::new(move |()| page.dialog.set(Some(dialog)));
    use_keys(page, shifter, rates, open(Asks::Keys));

    let mode = Memo::new(move |_| live.status.with(slider_mode));
    let names = Memo::new(move |_| live.status.with(versions));
    let names = Signal::derive(move || names.get());
    let desired = Signal::derive(move || {
        let share = shifter.share.get()?;
        names.with(|names| match names.len() {
            2 => Some(vec![f64::from(share), f64::from(100 - share)]),
            _ => shifter
                .split
                .with(|split| split.as_ref().map(|s| names.iter().map(|v| f64::from(s.percent(v))).collect())),
        })
    });
    let measured = measured(page, names, desired);
    let absent = Memo::new(move |_| mode.get() == SliderMode::Absent);
    // A failed operation stays in the status until the next verb; people need not look at it for so long.
    let dismissed = RwSignal::new(0_u64);
    let failed = Signal::derive(move || {
        page.error.get().or_else(|| {
            live.status
                .with(|s| s.operation.as_ref().filter(|op| op.id != dismissed.get()).and_then(|op| op.error.clone()))
        })
    });
    let dismiss = Callback::new(move |()| {
        page.error.set(None);
        dismissed.set(live.status.with_untracked(|s| s.operation.as_ref().map_or(0, |op| op.id)));
    });
    view! {
        <div class="page" class:projector=page.projector data-testid="page" data-ready=say(move || page.ready())>
            <Header page rates clean_up=open(Asks::CleanUp) stop_all=open(Asks::StopAll) help=open(Asks::Keys)/>
            <main id="main">
                <div class="rail">
                    <Lesson page rates ask clean_up=open(Asks::CleanUp)/>
                </div>
                <div class="stage">
                    <ErrorBanner lang=page.lang.into() error=failed dismiss/>
                    <Banners page ask/>
                    <Hero page ask absent/>
                    // Hidden, not taken away: what is never built in the browser needs no code there that builds it.
                    <div class="work card" hidden=flag(move || absent.get())>
                        <Headline page/>
                        <Mesh page rates measured/>
                        <Weights page shifter ask mode=mode.into() measured/>
                        <Chart page rates ask/>
                    </div>
                </div>
            </main>
            <Drawer page/>
            <Toast page/>
            <Dialogs page ask stop_load/>
        </div>
    }
}

/// Runs a verb, and the verb that is about every namespace. What fails is the page's error.
fn use_verbs(page: Page) -> (Callback<Command>, Callback<()>) {
    let call = move |answer: std::pin::Pin<Box<dyn Future<Output = Result<(), wire::ApiError>>>>| {
        page.asking.update(|n| *n += 1);
        spawn_local(async move {
            let answer = answer.await;
            page.asking.update(|n| *n -= 1);
            page.error.set(answer.err());
        });
    };
    let ask = Callback::new(move |command: Command| {
        call(Box::pin(api::run(page.ns.get_value(), page.me.get_untracked(), command)));
    });
    let stop_load = Callback::new(move |()| call(Box::pin(api::stop_all(page.me.get_untracked()))));
    (ask, stop_load)
}

/// The handles of a page that has just been drawn.
fn use_page(ns: Namespace, live: Live, prefs: Prefs) -> Page {
    let Prefs { theme, drawer, .. } = prefs;
    let page = Page {
        ns: StoredValue::new(ns),
        live,
        lang: live.lang,
        theme: RwSignal::new(theme),
        projector: RwSignal::new(api::is_stage()),
        drawer: RwSignal::new(drawer),
        dialog: RwSignal::new(None),
        zone_min: RwSignal::new(0),
        me: RwSignal::new(String::new()),
        error: RwSignal::new(None),
        asking: RwSignal::new(0),
        typed: RwSignal::new(String::new()),
    };
    Effect::new(move |_| {
        page.me.set(api::browser_id());
        // getTimezoneOffset: minutes to add to local time to get UTC.
        page.zone_min.set(-(js_sys::Date::new_0().get_timezone_offset() as i32));
    });
    Effect::new(move |_| api::keep_stage(page.projector.get()));
    Effect::new(move |_| {
        api::keep_prefs(Prefs { lang: page.lang.get(), theme: page.theme.get(), drawer: page.drawer.get() })
    });
    page
}
