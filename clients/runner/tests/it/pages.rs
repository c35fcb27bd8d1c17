//! A page shows lines of an application, and says which: `<!-- run: from clients/express/app.js -->`. The
//! applications are run by `./test clients`; here it is seen that the page and the application are the same.

use std::fmt::Write as _;

use tidy::{Repo, markdown};

/// Between these lines is what the table says.
const BEGIN: &str =
    "<!-- the matrix: written by UPDATE_GOLDEN=1 cargo test -p cloakroom-clients -->\n";
const END: &str = "<!-- the end of the matrix -->";

/// The page with the matrix.
const MATRIX: &str = "docs/frameworks/README.md";

#[test]
fn pages_show_what_the_applications_are() {
    let repo = repository();
    let (mut wrong, mut compared) = (String::new(), 0);
    for (path, page) in pages(&repo) {
        for block in markdown::blocks(page) {
            let place = format!("{path}:{}", block.line);
            match difference(&repo, &block) {
                Some(what) => writeln!(wrong, "{place}: {what}").expect("memory is there"),
                None => compared += usize::from(block.directive.is_some()),
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(compared >= 10, "only {compared} blocks were compared");
}

#[test]
fn what_is_not_in_the_application_is_seen() {
    let files = [
        ("clients/x/app.js", "a();\n  b();\n  c();\n"),
        (
            "clients/x/package.json",
            "{ \"type\": \"module\", \"one\": \"1.0.0\" }\n",
        ),
    ];
    let repo = Repo::of(&files, Vec::new());
    let seen = |page: &str| {
        let blocks = markdown::blocks(page);
        difference(&repo, &blocks[0])
    };
    let from = "<!-- run: from clients/x/app.js -->\n```js\n";
    assert_eq!(seen(&format!("{from}b();\nc();\n```\n")), None);
    assert!(seen(&format!("{from}c();\nb();\n```\n")).is_some());
    assert!(seen(&format!("{from}b();\n  c();\n```\n")).is_some());
    assert!(seen("```js\na();\n```\n").is_some());
    let from = "<!-- run: skip: from clients/x/package.json -->\n```sh\n";
    assert_eq!(seen(&format!("{from}npm install one\n```\n")), None);
    let settings = |line: &str| seen(&format!("{from}{line}\nnpm install one\n```\n"));
    assert_eq!(settings("npm pkg set type=module"), None);
    assert!(settings("npm pkg set type=commonjs").is_some());
    assert!(seen(&format!("{from}npm install one two\n```\n")).is_some());
    assert!(seen(&format!("{from}npm install on\n```\n")).is_some());
}

#[test]
fn the_page_has_the_matrix_of_the_table() {
    let path = Repo::own_root().join(MATRIX);
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let (head, rest) = page.split_once(BEGIN).expect("the matrix begins");
    let (_, foot) = rest.split_once(END).expect("the matrix ends");
    let wanted = format!(
        "{head}{BEGIN}\n{}\n{END}{foot}",
        cloakroom_clients::expected()
    );
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &wanted).expect("the page is ours");
    }
    let page = std::fs::read_to_string(&path).expect("the page is there");
    assert_eq!(page, wanted, "{MATRIX} is not what the table says");
}

/// What is wrong with a block of a page, if anything is.
fn difference(repo: &Repo, block: &markdown::Block) -> Option<String> {
    let directive = block.directive.as_deref().unwrap_or_default();
    let file = directive.strip_prefix("skip: from ");
    let file = file.or_else(|| directive.strip_prefix("from "));
    let Some(file) = file else {
        // Shell commands without a file are run by tidy-pages.
        let runs = block.language == "sh";
        return (!runs).then(|| "does not say which file it is from".to_owned());
    };
    let Some(text) = repo.text(file) else {
        return Some(format!("{file} is not there"));
    };
    if block.language == "sh" {
        let lines = block.text.lines();
        let missing: Vec<&str> = lines.flat_map(|line| not_in(text, line)).collect();
        return (!missing.is_empty()).then(|| format!("{missing:?} is not in {file}"));
    }
    let shown: Vec<&str> = block.text.lines().collect();
    let lines: Vec<&str> = text.lines().collect();
    let is_there = lines.windows(shown.len()).any(|part| {
        let indent = part[0].len() - part[0].trim_start().len();
        part.iter().zip(&shown).all(|(line, shown)| {
            let (margin, line) = line.split_at(indent.min(line.len()));
            margin.trim().is_empty() && line == *shown
        })
    });
    (!is_there).then(|| format!("these lines are not in {file}"))
}

/// What of a line for a package manager a manifest has not: the packages that are installed, or the setting.
fn not_in<'a>(manifest: &str, line: &'a str) -> Vec<&'a str> {
    if let Some(setting) = line.strip_prefix("npm pkg set ") {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        let is_set = manifest.contains(&format!("\"{name}\": \"{value}\""));
        return (!is_set).then_some(setting).into_iter().collect();
    }
    let words = line.split_whitespace().skip(1);
    let packages =
        words.filter(|word| !["install", "get", "-m", "pip", "init", "--yes"].contains(word));
    packages.filter(|it| !names(manifest, it)).collect()
}

/// Whether a manifest names a package, or a row of it its older form (`name@8` is `npm:name@8...`).
fn names(manifest: &str, package: &str) -> bool {
    let is_part = |char: char| char.is_ascii_alphanumeric() || "-_.@/".contains(char);
    let version = package
        .rsplit_once('@')
        .filter(|(name, _)| !name.is_empty());
    manifest.match_indices(package).any(|(at, _)| {
        let before = manifest[..at].chars().next_back();
        let after = manifest[at + package.len()..].chars().next();
        let open = after.is_none_or(|char| !is_part(char) || (version.is_some() && char == '.'));
        before.is_none_or(|char| !is_part(char)) && open
    })
}

fn repository() -> Repo {
    Repo::at(&Repo::own_root()).expect("the repository can be read")
}

fn pages(repo: &Repo) -> impl Iterator<Item = (&str, &str)> {
    let pages = repo.pages();
    pages.filter(|(path, _)| path.starts_with("docs/frameworks/"))
}
