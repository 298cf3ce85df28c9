//! The web as values: the policy for URLs and addresses, and the conversion of pages to text.

pub mod charset;
pub mod page;
pub mod settings;
pub mod special_use;
pub mod url_policy;
