//! The web as values: which URLs and addresses an agent may reach, and how a page becomes text.

pub mod charset;
pub mod page;
pub mod settings;
pub mod special_use;
pub mod url_policy;
