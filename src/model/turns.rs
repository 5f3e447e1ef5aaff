//! What a checkpoint of Hugging Face says of turns, in `tokenizer_config.json` and `chat_template.jinja`: its chat template and
//! the tokens that begin and end a text.

use serde_json::Value;

use crate::error::{Error, Result};

/// The turns of a conversation, as a checkpoint wants them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// The Jinja template.
    pub chat_template: Option<String>,
    /// The text of the token that begins a text.
    pub bos: Option<String>,
    /// The text of the token that ends a reply.
    pub eos: Option<String>,
    /// Raw text begins with the former.
    pub add_bos: bool,
}

impl Turns {
    /// Of the two files, either of which may be missing; a template of its own file counts more than one in the other, as with
    /// `transformers`. `malformed-file` for a `tokenizer_config.json` that is none.
    pub fn read(tokenizer_config: Option<&[u8]>, chat_template: Option<String>) -> Result<Self> {
        let config = tokenizer_config.map_or(Ok(Value::Null), serde_json::from_slice).map_err(|error| {
            Error::malformed(format!("tokenizer_config.json is not JSON: {error}"))
                .hint("a server may have sent a web page instead of the file")
        })?;
        let template = match &config["chat_template"] {
            Value::Null => None,
            Value::String(template) => Some(template.as_str()),
            // Some have several, one of them for every use.
            Value::Array(named) => {
                let default = named.iter().find(|entry| entry["name"] == "default");
                default.and_then(|entry| entry["template"].as_str())
            }
            other => {
                let message = "tokenizer_config.json: expected chat_template to be a text or a list of named ones";
                return Err(Error::malformed(format!("{message}, got {other}")));
            }
        };
        let token = |key: &str| {
            let token = &config[key];
            token.as_str().or_else(|| token["content"].as_str()).map(str::to_owned)
        };
        Ok(Self {
            chat_template: chat_template.or_else(|| template.map(str::to_owned)),
            bos: token("bos_token"),
            eos: token("eos_token"),
            add_bos: config["add_bos_token"] == true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn read(config: &str) -> Turns {
        Turns::read(Some(config.as_bytes()), None).unwrap()
    }

    #[test]
    fn tokens_are_texts_or_objects_or_none() {
        let both = r#"{"bos_token":{"__type":"AddedToken","content":"<s>"},"eos_token":"</s>","add_bos_token":true}"#;
        let expected = Turns { chat_template: None, bos: Some("<s>".into()), eos: Some("</s>".into()), add_bos: true };
        assert_eq!(read(both), expected);
        assert_eq!(read(r#"{"bos_token":null,"add_bos_token":false}"#), Turns::default());
        assert_eq!(Turns::read(None, None).unwrap(), Turns::default());
    }

    #[test]
    fn the_template_is_a_text_or_the_default_of_several_and_gives_way_to_a_file() {
        let one = r#"{"chat_template":"one"}"#;
        assert_eq!(read(one).chat_template.as_deref(), Some("one"));
        let named = r#"{"chat_template":[{"name":"tool_use","template":"t"},{"name":"default","template":"d"}]}"#;
        assert_eq!(read(named).chat_template.as_deref(), Some("d"));
        let file = Turns::read(Some(one.as_bytes()), Some("file".into())).unwrap();
        assert_eq!(file.chat_template.as_deref(), Some("file"));
        assert_eq!(Turns::read(None, Some("file".into())).unwrap().chat_template.as_deref(), Some("file"));
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for (config, says) in [("<html>", "not JSON"), (r#"{"chat_template":7}"#, "got 7")] {
            let error = Turns::read(Some(config.as_bytes()), None).unwrap_err();
            assert!(error.kind == ErrorKind::MalformedFile && error.message.contains(says), "{error}");
        }
    }
}
