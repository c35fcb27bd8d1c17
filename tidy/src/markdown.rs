//! Markdown as far as the rules and the page runner look into it: fenced blocks, links, headings.

/// A fenced block of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What follows the fence: `sh`, `rust`, `toml`, ...
    pub language: String,
    /// Its lines.
    pub text: String,
    /// The line of the opening fence, from 1.
    pub line: usize,
    /// The last `<!-- run: ... -->` before it, if nothing but blank lines stands between.
    pub directive: Option<String>,
}

/// The fenced blocks of a page, in order.
#[must_use]
pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(Block, String)> = None;
    let mut directive = None;
    for (index, line) in page.lines().enumerate() {
        let trimmed = line.trim_start();
        if let Some((mut block, fence)) = open.take() {
            if trimmed.starts_with(&fence) {
                blocks.push(block);
            } else {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some((block, fence));
            }
            continue;
        }
        if let Some(fence) = fence_of(trimmed) {
            let block = Block {
                language: trimmed[fence.len()..].trim().to_owned(),
                text: String::new(),
                line: index + 1,
                directive: directive.take(),
            };
            open = Some((block, fence));
        } else if !trimmed.is_empty() {
            directive = directive_of(trimmed);
        }
    }
    blocks
}

/// All directives of a page, `<!-- run: ... -->`, and their lines.
#[must_use]
pub fn directives(page: &str) -> Vec<(usize, String)> {
    let lines = prose(page);
    lines
        .filter_map(|(line, text)| Some((line, directive_of(text.trim())?)))
        .collect()
}

/// The targets of all links and images of a page, and their lines.
#[must_use]
pub fn links(page: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (line, text) in prose(page) {
        let text = without_code(text);
        for part in text.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                links.push((
                    line,
                    target.split(' ').next().unwrap_or_default().to_owned(),
                ));
            }
        }
        if text.starts_with('[')
            && let Some((_, target)) = text.split_once("]: ")
        {
            links.push((line, target.trim().to_owned()));
        }
        for part in text.split("src=\"").skip(1) {
            links.extend(
                part.split_once('"')
                    .map(|(target, _)| (line, target.to_owned())),
            );
        }
    }
    links
}

/// What stands in backticks, and its line.
#[must_use]
pub fn code_words(page: &str) -> Vec<(usize, String)> {
    let words = |(line, text): (usize, &str)| {
        let words = text.split('`').skip(1).step_by(2);
        words
            .map(|word| (line, word.to_owned()))
            .collect::<Vec<_>>()
    };
    prose(page).flat_map(words).collect()
}

/// The names by which headings of a page can be linked.
#[must_use]
pub fn anchors(page: &str) -> Vec<String> {
    let headings = prose(page).filter(|(_, text)| text.starts_with('#'));
    let headings = headings.map(|(_, text)| text.trim_start_matches('#'));
    headings.map(anchor).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|char| match char {
        ' ' => Some('-'),
        '-' | '_' => Some(char),
        _ if char.is_alphanumeric() => Some(char.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

/// The lines outside of fenced blocks, with their numbers.
fn prose(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<String> = None;
    page.lines().enumerate().filter_map(move |(index, line)| {
        let trimmed = line.trim_start();
        if let Some(open) = &fence {
            if trimmed.starts_with(open.as_str()) {
                fence = None;
            }
            return None;
        }
        fence = fence_of(trimmed);
        fence.is_none().then_some((index + 1, line))
    })
}

fn fence_of(line: &str) -> Option<String> {
    let ticks = line.chars().take_while(|char| *char == '`').count();
    (ticks >= 3).then(|| "`".repeat(ticks))
}

fn directive_of(line: &str) -> Option<String> {
    let inner = line.strip_prefix("<!-- run:")?.strip_suffix("-->")?;
    Some(inner.trim().to_owned())
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}
