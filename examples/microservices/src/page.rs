//! What all pages share. The way out is on each of them, and it is the same for all services.

use askama::Template;
use axum::response::Html;

use crate::Fault;

/// The frame around a page.
#[derive(Debug)]
pub struct Frame {
    /// The page's title.
    pub title: &'static str,
    /// Who is signed in.
    pub user: Option<String>,
}

impl Frame {
    /// A frame for somebody, or for nobody.
    #[must_use]
    pub const fn new(title: &'static str, user: Option<String>) -> Self {
        Self { title, user }
    }
}

/// The page as HTML.
///
/// # Errors
/// If the template fails.
pub fn render(page: &impl Template) -> Result<Html<String>, Fault> {
    Ok(Html(page.render()?))
}
