//! Who owns which field: `metadata.managedFields`.
use crate::kinds::Kind;
use crate::Object;

/// Notes that `manager` wrote what differs.
pub(crate) fn written(_kind: &Kind, _old: Option<&Object>, _new: &mut Object, _manager: &str, _sub: &str) {}

/// Whether a write changes nothing.
pub(crate) fn same(old: &Object, new: &Object) -> bool {
    old == new
}
