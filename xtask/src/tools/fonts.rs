//! Fonts of the browser tests. How wide a page is depends on its fonts, so the tests bring theirs instead of using the machine's.
use super::debian::{self, PackageLists};
use super::fetched;
use crate::sh::{Context, Result, cmd, error, output, target_dir};
use std::path::{Path, PathBuf};

/// A folder that the tests expect, the Debian package that has its fonts, and how the files are named.
struct Package {
    folder: &'static str,
    name: &'static str,
    files: &'static str,
    /// A file without which the package is of no use.
    needed: &'static str,
}

/// The narrow and the wide Latin fonts that Linux machines have by default, and one with Chinese.
const PACKAGES: [Package; 3] = [
    Package {
        folder: "liberation",
        name: "fonts-liberation",
        files: "Liberation",
        needed: "LiberationSans-Regular.ttf",
    },
    Package { folder: "dejavu", name: "fonts-dejavu-core", files: "DejaVuSans", needed: "DejaVuSansMono.ttf" },
    Package { folder: "noto-cjk", name: "fonts-noto-cjk", files: "NotoSansCJK", needed: "NotoSansCJK-Regular.ttc" },
];

/// The folder for the tests' `FONTS`, with a folder for each of liberation, dejavu and noto-cjk: `FONTS` where it is set, else Debian's
/// packages in the cache, else links to the fonts that are installed.
pub fn fonts() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("FONTS") {
        return Ok(given.into());
    }
    match fetched::folder("fonts-1", fetch) {
        Ok(folder) => Ok(folder),
        Err(why) => installed().map_err(|missing| {
            let names = PACKAGES.map(|package| package.name).join(" ");
            error(format!("{why:#}\n    {missing}\n    install the fonts (Debian: apt-get install {names}), or set FONTS to a folder that holds\n    {}", layout()))
        }),
    }
}

/// What the folder holds, for messages.
fn layout() -> String {
    PACKAGES.map(|package| format!("{}/{}", package.folder, package.needed)).join(", ")
}

/// Without root: the packages are unpacked, not installed.
fn fetch(into: &Path) -> Result<()> {
    if let Some(program) = debian::missing_program() {
        return Err(error(format!("cannot fetch the browser tests' fonts: `{program}` is not on PATH")));
    }
    println!("    downloading Debian's packages of fonts (60 MB)");
    let unpacked = into.join("unpacked");
    std::fs::create_dir_all(&unpacked).context("make the folder for packages")?;
    PackageLists::fetch()?.download(&PACKAGES.map(|package| package.name), &unpacked)?;
    for archive in files_below(&unpacked) {
        output(cmd("dpkg-deb").arg("-x").arg(archive).arg(&unpacked))?;
    }
    gather(&files_below(&unpacked), into, |from, to| std::fs::rename(from, to))?;
    std::fs::remove_dir_all(&unpacked).context("remove the unpacked packages")
}

/// From the folders that fontconfig looks into.
fn installed() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let places = [
        PathBuf::from("/usr/share/fonts"),
        PathBuf::from("/usr/local/share/fonts"),
        home.join(".local/share/fonts"),
        home.join(".fonts"),
    ];
    let found: Vec<PathBuf> = places.iter().flat_map(|place| files_below(place)).collect();
    let folder = target_dir().join("fonts");
    if folder.is_dir() {
        std::fs::remove_dir_all(&folder).context("remove the links to fonts of the last run")?;
    }
    gather(&found, &folder, |from, to| std::os::unix::fs::symlink(from, to))?;
    Ok(folder)
}

/// Puts the fonts among `files` into their folders. Error: a font is missing.
fn gather(files: &[PathBuf], into: &Path, put: impl Fn(&Path, &Path) -> std::io::Result<()>) -> Result<()> {
    for package in &PACKAGES {
        let folder = into.join(package.folder);
        std::fs::create_dir_all(&folder).context(format!("make {}", folder.display()))?;
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let to = folder.join(&*name);
            if name.starts_with(package.files)
                && [".ttf", ".ttc", ".otf"].iter().any(|end| name.ends_with(end))
                && !to.exists()
            {
                put(file, &to).context(format!("place {}", to.display()))?;
            }
        }
        if !folder.join(package.needed).is_file() {
            return Err(error(format!("the font {} of Debian's package {} is missing", package.needed, package.name)));
        }
    }
    Ok(())
}

/// Every file below a folder; none where it cannot be read.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fonts_are_sorted_into_the_folders_that_tests_expect() {
        let place = std::env::temp_dir().join(format!("demo-panel-fonts-{}", std::process::id()));
        let machine = place.join("machine/truetype");
        std::fs::create_dir_all(&machine).unwrap();
        let names = [
            "LiberationSans-Regular.ttf",
            "DejaVuSans.ttf",
            "DejaVuSansMono.ttf",
            "NotoSansCJK-Regular.ttc",
            "Other.ttf",
            "DejaVuSans.txt",
        ];
        names.iter().for_each(|name| std::fs::write(machine.join(name), name).unwrap());
        let link = |from: &Path, to: &Path| std::os::unix::fs::symlink(from, to);
        gather(&files_below(&place.join("machine")), &place.join("all"), link).unwrap();
        let mut gathered: Vec<String> = files_below(&place.join("all"))
            .iter()
            .map(|file| file.strip_prefix(&place).unwrap().display().to_string())
            .collect();
        gathered.sort();
        let expected = [
            "all/dejavu/DejaVuSans.ttf",
            "all/dejavu/DejaVuSansMono.ttf",
            "all/liberation/LiberationSans-Regular.ttf",
            "all/noto-cjk/NotoSansCJK-Regular.ttc",
        ];
        assert_eq!(gathered, expected);

        std::fs::remove_file(machine.join("NotoSansCJK-Regular.ttc")).unwrap();
        let missing = gather(&files_below(&place.join("machine")), &place.join("less"), link).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "the font NotoSansCJK-Regular.ttc of Debian's package fonts-noto-cjk is missing"
        );
        std::fs::remove_dir_all(&place).unwrap();
    }
}
