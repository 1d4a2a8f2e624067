//! The dots of the mesh picture, thirty pictures a second.
use super::Page;
use super::animation::each_frame;
use super::context::{flag, say};
use super::symbol::{PLACES, colour};
use crate::api::Link;
use crate::model::{Dot, Dots, Edge};
use crate::text::{Key, thousands};
use leptos::html;
use leptos::prelude::*;
use std::cell::{Cell, RefCell};
use std::f64::consts::TAU;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

/// Shortest time between two pictures, milliseconds: more than thirty a second cost twice as much and look the same.
const PICTURE_MS: f64 = 30.0;
/// The dots run so long behind the frames that bring them: the next frame has come by then.
const LAG_MS: f64 = 150.0;
/// How often the colours are looked up, milliseconds.
const LOOK_MS: f64 = 1_000.0;
/// Half of a dot, CSS pixels.
const DOT: f64 = 4.0;

/// The canvas and its legend.
#[component]
pub fn Canvas(page: Page, names: Signal<Vec<String>>) -> impl IntoView {
    let node = NodeRef::<html::Canvas>::new();
    let palette = NodeRef::<html::Span>::new();
    let per_dot = RwSignal::new(0_u64);
    animate(page, node, palette, names, per_dot);
    view! {
        <canvas node_ref=node></canvas>
        // Colours are tokens that depend on the theme: the browser resolves them here.
        <span class="palette" node_ref=palette hidden=true>
            {(0..PLACES).map(|place| view! { <i class=colour(place)></i> }).collect_view()}
            <i class="bad"></i>
        </span>
        <small class="per-dot muted" hidden=flag(move || per_dot.get() == 0)>
            {say(move || match per_dot.get() {
                0 | 1 => page.lang.get().t(Key::DotIsRequest).to_owned(),
                n => page.lang.get().fill(Key::DotIsRequests, &[("n", &thousands(n))]),
            })}
        </small>
    }
}

/// Starts the animation when the browser has taken over; it ends with the component.
fn animate(
    page: Page,
    node: NodeRef<html::Canvas>,
    palette: NodeRef<html::Span>,
    names: Signal<Vec<String>>,
    per_dot: RwSignal<u64>,
) {
    let gone = StoredValue::new(false);
    on_cleanup(move || {
        gone.try_set_value(true);
    });
    Effect::new(move |_| {
        let (Some(canvas), Some(palette)) = (node.get(), palette.get()) else { return };
        // Who wants no motion sees the shares in the thickness of the edges.
        let still = window().match_media("(prefers-reduced-motion: reduce)").ok().flatten();
        if still.is_some_and(|query| query.matches()) {
            return;
        }
        let Some(pen) = canvas.get_context("2d").ok().flatten().and_then(|c| c.dyn_into().ok()) else { return };
        let picture = Rc::new(Picture {
            canvas,
            palette: palette.into(),
            pen,
            dots: RefCell::default(),
            colours: RefCell::default(),
            size: Cell::default(),
            down: Cell::default(),
            drawn_ms: Cell::default(),
            looked_ms: Cell::default(),
            empty: Cell::new(true),
        });
        let taken = picture.clone();
        // Every frame, also one that comes between two pictures.
        Effect::new(move |_| {
            page.live.frame.with(|frame| {
                let failing = frame.failing.as_ref().and_then(|f| f.version.as_deref());
                let mut dots = taken.dots.borrow_mut();
                names.with_untracked(|names| dots.push(frame, names, failing));
                if dots.per_dot() != per_dot.get_untracked() {
                    per_dot.set(dots.per_dot());
                }
            });
        });
        each_frame(move || {
            if gone.try_get_value().unwrap_or(true) {
                return false;
            }
            if !matches!(page.live.link.get_untracked(), Link::Stale(_)) {
                picture.draw(page.live.server_now_ms() as f64 - LAG_MS, names.with_untracked(Vec::len));
            }
            true
        });
    });
}

/// The canvas, and what is known of it.
struct Picture {
    canvas: HtmlCanvasElement,
    palette: web_sys::Element,
    pen: CanvasRenderingContext2d,
    dots: RefCell<Dots>,
    colours: RefCell<Vec<String>>,
    /// CSS pixels.
    size: Cell<(f64, f64)>,
    /// Whether the edges lead down: on a phone.
    down: Cell<bool>,
    drawn_ms: Cell<f64>,
    looked_ms: Cell<f64>,
    empty: Cell<bool>,
}

impl Picture {
    fn draw(&self, now_ms: f64, versions: usize) {
        if (now_ms - self.drawn_ms.get()).abs() < PICTURE_MS {
            return;
        }
        self.drawn_ms.set(now_ms);
        let size = (f64::from(self.canvas.client_width()), f64::from(self.canvas.client_height()));
        if size != self.size.get() || (now_ms - self.looked_ms.get()).abs() >= LOOK_MS {
            self.looked_ms.set(now_ms);
            self.look(size);
        }
        let (width, height) = self.size.get();
        let mut dots = self.dots.borrow_mut();
        let mut flying = dots.at(now_ms).peekable();
        // Nothing travels, and nothing is left of what did.
        if flying.peek().is_none() && self.empty.replace(true) || width == 0.0 {
            return;
        }
        self.empty.set(flying.peek().is_none());
        self.pen.clear_rect(0.0, 0.0, width, height);
        for dot in flying {
            self.dot(dot, versions);
        }
    }

    fn dot(&self, dot: Dot, versions: usize) {
        let (width, height) = self.size.get();
        // A request that reached no version failed at the client's end: there it stops, and goes.
        let lost = dot.place.is_none();
        if lost && dot.way > 0.5 {
            return;
        }
        let way = if lost { (dot.way * 0.45).min(0.16) } else { dot.way };
        let edge = dot.place.map_or(Edge { end: 0.5 }, |place| Edge::new(place, versions));
        let (along, over) = edge.at(way);
        // Lines meet at the client and at each version, so do the dots on them.
        let spread = dot.across * 9.0 * (way * 4.0).min((1.0 - way) * 4.0).clamp(0.25, 1.0);
        let (x, y) = if self.down.get() {
            (over * width + spread, along * height)
        } else {
            (along * width, over * height + spread)
        };
        let colours = self.colours.borrow();
        let place = if dot.failed { PLACES } else { dot.place.unwrap_or(PLACES) % (PLACES + 1) };
        if let Some(colour) = colours.get(place) {
            self.pen.set_fill_style_str(colour);
        }
        self.pen.begin_path();
        match (dot.failed, dot.place.unwrap_or(0)) {
            (true, _) => {
                for (dx, dy) in [(-DOT, -DOT), (DOT, DOT)] {
                    self.pen.move_to(x + dx, y + dy);
                    self.pen.line_to(x - dx, y - dy);
                    self.pen.move_to(x + dx, y - dy);
                    self.pen.line_to(x - dx, y + dy);
                }
                if let Some(colour) = colours.get(PLACES) {
                    self.pen.set_stroke_style_str(colour);
                }
                self.pen.set_line_width(2.5);
                self.pen.stroke();
                return;
            }
            (_, 0) => {
                let _ = self.pen.arc(x, y, DOT, 0.0, TAU);
            }
            (_, 2) => self.shape(x, y, &[(0.0, -1.2), (1.2, 1.0), (-1.2, 1.0)]),
            (_, 3) => self.shape(x, y, &[(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]),
            (_, 4) => self.shape(x, y, &[(0.0, 1.2), (1.2, -1.0), (-1.2, -1.0)]),
            _ => self.shape(x, y, &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
        }
        self.pen.fill();
    }

    fn shape(&self, x: f64, y: f64, corners: &[(f64, f64)]) {
        for (i, (dx, dy)) in corners.iter().enumerate() {
            let (x, y) = (x + dx * DOT, y + dy * DOT);
            if i == 0 { self.pen.move_to(x, y) } else { self.pen.line_to(x, y) }
        }
        self.pen.close_path();
    }

    /// Size, direction and colours: they change with the window and the theme.
    fn look(&self, size: (f64, f64)) {
        let phone = window().match_media("(max-width: 860px)").ok().flatten();
        self.down.set(phone.is_some_and(|query| query.matches()));
        if size != self.size.get() {
            self.size.set(size);
            let sharp = window().device_pixel_ratio().clamp(1.0, 2.0);
            self.canvas.set_width((size.0 * sharp) as u32);
            self.canvas.set_height((size.1 * sharp) as u32);
            let _ = self.pen.scale(sharp, sharp);
        }
        let children = self.palette.children();
        let colour = |i: u32| {
            let style = window().get_computed_style(&children.item(i)?).ok().flatten()?;
            style.get_property_value("color").ok()
        };
        *self.colours.borrow_mut() = (0..children.length()).filter_map(colour).collect();
    }
}
