//! A problem of a file, as `check` and `skills check` print it.

use crate::core::text::problem::Problem;
use serde::Serialize;

/// A problem as a JSON object.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ProblemReport<'a> {
    path: &'a str,
    line: Option<usize>,
    column: Option<usize>,
    severity: &'static str,
    message: &'a str,
}

impl<'a> From<&'a Problem> for ProblemReport<'a> {
    fn from(problem: &'a Problem) -> Self {
        let (line, column) = problem.at.unzip();
        let severity = if problem.is_warning { "warning" } else { "error" };
        Self { path: &problem.path, line, column, severity, message: &problem.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_without_a_place_has_no_line() {
        let problem = Problem::warning("a", "b");
        let report = ProblemReport { path: "a", line: None, column: None, severity: "warning", message: "b" };
        assert_eq!(ProblemReport::from(&problem), report);
        let problem = Problem::error("a", "b").at(Some((2, 3)));
        let report = ProblemReport { path: "a", line: Some(2), column: Some(3), severity: "error", message: "b" };
        assert_eq!(ProblemReport::from(&problem), report);
    }
}
