//! The panel's page: state first from the server's HTML, then from the stream; verbs by server functions.
use super::keys::use_keys;
use super::rates::use_rates;
use super::shifting::use_shifter;
use crate::api::{self, Live, Snapshot, Theme, use_live};
use crate::components::{
    Banners, Chart, CleanUpDialog, ErrorBanner, Header, Headline, Hero, KeysDialog, Log, Numbers, Page, Pods, Rail,
    StopAllDialog, Toast, Weights, flag, say,
};
use crate::model::{SliderMode, slider_mode};
use crate::text::Key;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wire::{Command, Namespace};

/// The panel itself.
#[component]
pub fn Panel(first: Snapshot) -> impl IntoView {
    let prefs = api::prefs();
    let ns = first.status.namespace.clone();
    let live = use_live(ns.clone(), first);
    let page = use_page(ns, live, prefs.theme);
    let (ask, stop_load) = use_verbs(page);
    let shifter = use_shifter(page.ns, page.me, live);
    let rates = use_rates(live, ask);
    let help = NodeRef::<leptos::html::Dialog>::new();
    let clean = NodeRef::<leptos::html::Dialog>::new();
    let stop_all = NodeRef::<leptos::html::Dialog>::new();
    let open = move |dialog: NodeRef<leptos::html::Dialog>| {
        if let Some(dialog) = dialog.get_untracked() {
            let _ = dialog.show_modal();
        }
    };
    use_keys(page, shifter, rates, Callback::new(move |()| open(help)));

    let mode = Memo::new(move |_| live.status.with(slider_mode));
    let absent = move || mode.get() == SliderMode::Absent;
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
            <Header page rates clean_up=Callback::new(move |()| open(clean)) stop_all=Callback::new(move |()| open(stop_all)) help=Callback::new(move |()| open(help))/>
            <main id="main">
                <nav class="rail" aria-label=page.t(Key::Steps)>
                    <Rail page rates ask clean_up=Callback::new(move |()| open(clean))/>
                </nav>
                <div class="stage">
                    <ErrorBanner lang=page.lang.into() error=failed dismiss/>
                    <Banners page ask/>
                    <Show when=move || absent()>
                        <Hero page ask/>
                    </Show>
                    // Hidden, not taken away: what is never built in the browser needs no code there that builds it.
                    <div class="work" hidden=flag(absent)>
                        <Headline page/>
                        <Weights page shifter ask mode=mode.into()/>
                        <Chart page rates ask/>
                    </div>
                </div>
                <div class="side">
                    <Numbers page/>
                    <Pods page/>
                    <Log page/>
                </div>
            </main>
            <Toast page/>
            <CleanUpDialog page node=clean confirm=Callback::new(move |()| ask.run(Command::Teardown))/>
            <StopAllDialog page node=stop_all confirm=stop_load/>
            <KeysDialog page node=help/>
        </div>
    }
}

/// Runs a verb, and the verb that is about every namespace. What fails is the page's error.
fn use_verbs(page: Page) -> (Callback<Command>, Callback<()>) {
    let call = move |answer: std::pin::Pin<Box<dyn Future<Output = Result<(), api::CallError>>>>| {
        page.asking.update(|n| *n += 1);
        spawn_local(async move {
            let answer = answer.await;
            page.asking.update(|n| *n -= 1);
            page.error.set(answer.err().map(|error| error.0));
        });
    };
    let ask = Callback::new(move |command: Command| {
        call(Box::pin(api::run(page.ns.get_value(), page.me.get_untracked(), command)));
    });
    let stop_load = Callback::new(move |()| call(Box::pin(api::stop_all(page.me.get_untracked()))));
    (ask, stop_load)
}

/// The handles of a page that has just been drawn.
fn use_page(ns: Namespace, live: Live, theme: Theme) -> Page {
    let page = Page {
        ns: StoredValue::new(ns),
        live,
        lang: live.lang,
        theme: RwSignal::new(theme),
        projector: RwSignal::new(false),
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
    Effect::new(move |_| api::keep_prefs(page.lang.get(), page.theme.get()));
    page
}
