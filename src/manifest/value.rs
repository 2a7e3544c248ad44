//! A clean tree to a resource type (serde), and a tree to JSON as `kubectl`
//! would send it.

use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use super::scalar::{Plain, resolve};
use super::tree::{Data, Node};

/// Turns a tree that passed its shape into its type.
///
/// # Errors
/// Only where the shape allows what the type refuses.
pub(super) fn read<T: DeserializeOwned>(node: &Node<'_>) -> Result<T, Error> {
    T::deserialize(Reader(node))
}

struct Reader<'n, 's>(&'n Node<'s>);

impl IntoDeserializer<'_, Error> for Reader<'_, '_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Reader<'_, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.data {
            Data::Scalar { text, plain: true } => match resolve(text) {
                Plain::Null => visitor.visit_unit(),
                Plain::Bool(value) => visitor.visit_bool(value),
                Plain::Int(value) => visitor.visit_i64(value),
                Plain::Float(value) => visitor.visit_f64(value),
                Plain::Timestamp | Plain::Text => visitor.visit_str(text),
            },
            Data::Scalar { text, .. } => visitor.visit_str(text),
            Data::List(items) => {
                let items = items.iter().filter(|item| !matches!(item.data, Data::Broken));
                visitor.visit_seq(SeqDeserializer::new(items.map(Reader)))
            }
            Data::Map(entries) => {
                let entries = entries.iter().map(|entry| (entry.key.as_ref(), Reader(&entry.value)));
                visitor.visit_map(MapDeserializer::new(entries))
            }
            Data::Broken => visitor.visit_unit(),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let text = self.0.text().unwrap_or_default();
        text.into_deserializer().deserialize_enum(name, variants, visitor)
    }

    // The shape has made sure that text is text; a look at it would be the
    // second one.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.data {
            Data::Scalar { text, .. } => visitor.visit_str(text),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// The JSON that `kubectl` would send for this document.
#[must_use]
pub(super) fn to_json(node: &Node<'_>) -> Value {
    match &node.data {
        Data::Scalar { text, plain: true } => match resolve(text) {
            Plain::Null => Value::Null,
            Plain::Bool(value) => value.into(),
            Plain::Int(value) => value.into(),
            Plain::Float(value) => value.into(),
            Plain::Timestamp | Plain::Text => text.as_ref().into(),
        },
        Data::Scalar { text, .. } => text.as_ref().into(),
        Data::List(items) => items.iter().map(to_json).collect(),
        Data::Map(entries) => {
            let entries = entries.iter().map(|entry| (entry.key.to_string(), to_json(&entry.value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        Data::Broken => Value::Null,
    }
}
