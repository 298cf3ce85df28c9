//! Whether a model reads images and documents: by the settings, the model's name and its interface. What a model does not
//! read is refused before it is sent, because a server may ignore it silently.

use crate::core::config::OFFLINE;
use crate::core::config::resolved_model::ResolvedModel;
use crate::core::fault::{Cause, Fault, Result};
use crate::core::model::attachment::Media;
use crate::core::model::settings::REPLAY;
use crate::core::model::sight;
use crate::provider::openai;

/// Refuses an image or a document that a model does not read.
///
/// # Errors
/// `Data` with the cause `Refused`, so that a fallback is asked; `Config` if the model's dialect is unknown.
pub fn check(chosen: &ResolvedModel, media: Media) -> Result<()> {
    let settings = &chosen.model;
    let kind = if media.is_document() { "documents" } else { "images" };
    let refused = |why: &str, hint: &str| {
        let message = format!("model {} reads no {kind}: {why}", chosen.name);
        Err(Fault::data(message).hint(hint).cause(Cause::Refused))
    };
    let name = settings.model.as_deref().unwrap_or(&chosen.name);
    let by_name = || if settings.provider.as_deref() == Some("command") { None } else { sight::by_name(name) };
    match (settings.provider.as_deref(), settings.images.or_else(by_name)) {
        // The answer is recorded, whatever the request was.
        (Some(REPLAY), _) => Ok(()),
        (Some(OFFLINE), _) => refused("it is the built-in one", "set a model in claw.yaml"),
        (_, Some(false)) if settings.images.is_some() => {
            refused("`images: false` in its settings", "use another model")
        }
        (_, Some(false)) => refused("its name is known for that", "use another model"),
        (_, None) => refused("it is not known to", "if it does, set `images: true` in its settings"),
        (Some("ollama"), Some(true)) if media.is_document() => {
            refused("the interface of Ollama has none", "convert it to images or text")
        }
        (Some("openai"), Some(true)) if media.is_document() && !openai::has_documents(chosen)? => {
            refused("its server's interface is not known for that", "convert it to images or text")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_reads_images_by_its_settings_its_name_and_its_interface() {
        let problem = |yaml: &str, media| {
            let model = serde_yaml::from_str(yaml).unwrap();
            check(&ResolvedModel { name: "mine".into(), model }, media).err().map(|fault| fault.message)
        };
        for yaml in [
            "{provider: openai, model: gpt-4o}",
            "{provider: openai, model: gpt-5, wire: chat}",
            "{provider: anthropic, model: claude-sonnet-4-5}",
            "{provider: openai, model: anthropic/claude-sonnet-4-5, api_base: 'https://openrouter.ai/api/v1'}",
            "{provider: command, command: [x], images: true}",
            "{provider: replay, cassette: x}",
        ] {
            assert_eq!((problem(yaml, Media::Png), problem(yaml, Media::Pdf)), (None, None), "{yaml}");
        }
        for (yaml, image, document) in [
            ("{provider: offline}", Some("built-in"), Some("built-in")),
            ("{provider: offline, images: true}", Some("built-in"), Some("built-in")),
            ("{provider: openai, model: gpt-4o, images: false}", Some("images: false"), Some("images: false")),
            ("{provider: openai, model: o3-mini}", Some("known for that"), Some("known for that")),
            ("{provider: openai, model: mystery}", Some("not known to"), Some("not known to")),
            ("{provider: command, command: [x], model: gpt-4o}", Some("not known to"), Some("not known to")),
            ("{provider: ollama, model: 'gemma3:4b'}", None, Some("interface of Ollama")),
            ("{provider: openai, model: m, images: true, api_base: 'http://h/v1'}", None, Some("not known for that")),
        ] {
            for (media, expected) in [(Media::Jpeg, image), (Media::Pdf, document)] {
                let found = problem(yaml, media);
                let is_expected = match (&found, expected) {
                    (Some(found), Some(expected)) => found.contains(expected),
                    (found, expected) => found.is_none() && expected.is_none(),
                };
                assert!(is_expected, "{yaml}: {found:?}");
            }
        }
    }
}
