//! Fonts of the browser under test: a fontconfig file with fonts of the tests' own and none of the machine's.
//!
//! How wide text is depends on the font, and a machine's default font may be narrow, wide or monospaced. The page must fit with each.
use std::path::{Path, PathBuf};

/// The font of text that names no font that is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultFont {
    /// As wide as Arial.
    LiberationSans,
    /// About an eighth wider.
    DejaVuSans,
    /// What fontconfig may choose where only fonts for terminals are installed; about a quarter wider.
    DejaVuSansMono,
}

impl DefaultFont {
    /// Every one, the narrow one first.
    pub const ALL: [DefaultFont; 3] =
        [DefaultFont::LiberationSans, DefaultFont::DejaVuSans, DefaultFont::DejaVuSansMono];

    /// Its name in CSS and for fontconfig.
    pub fn family(self) -> &'static str {
        match self {
            DefaultFont::LiberationSans => "Liberation Sans",
            DefaultFont::DejaVuSans => "DejaVu Sans",
            DefaultFont::DejaVuSansMono => MONOSPACE,
        }
    }

    /// Writes the fontconfig file for a browser with this default font; the file and fontconfig's cache are below `folder`.
    pub fn config(self, folder: &Path) -> PathBuf {
        let fonts =
            std::env::var("FONTS").expect("FONTS names the folder of the tests' fonts; `cargo xtask test` sets it");
        let folders: String = ["liberation", "dejavu", "noto-cjk"]
            .map(|name| element("dir", &Path::new(&fonts).join(name).display().to_string()))
            .concat();
        let edit = |mode: &str, family: &str| {
            format!("<edit name='family' mode='{mode}' binding='strong'>{}</edit>", element("string", family))
        };
        let (default, monospace) =
            (edit("append_last", self.family()) + &edit("append_last", CHINESE), edit("prepend", MONOSPACE));
        let cache = element("cachedir", &folder.join("fontconfig-cache").display().to_string());
        let file = folder.join("fonts.conf");
        let text = format!(
            "<?xml version='1.0'?>\n<!DOCTYPE fontconfig SYSTEM 'fonts.dtd'>\n<fontconfig>\n{folders}{cache}\
             <match target='pattern'><test name='family'><string>monospace</string></test>{monospace}</match>\n\
             <match target='pattern'>{default}</match>\n\
             <match target='font'><edit name='hintstyle'><const>hintslight</const></edit><edit name='rgba'><const>none</const></edit></match>\n\
             </fontconfig>\n"
        );
        std::fs::write(&file, text).expect("the fontconfig file is written");
        file
    }
}

/// The font of `monospace`, whatever the default is.
const MONOSPACE: &str = "DejaVu Sans Mono";

/// The font of what the default font has no glyphs for.
pub const CHINESE: &str = "Noto Sans CJK SC";

fn element(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>\n", text.replace('&', "&amp;").replace('<', "&lt;"))
}
