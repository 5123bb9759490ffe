//! From a specification to a running program: the parent's side (clone, ids, control group, hooks), the child's side
//! (namespaces, root, limits, identity, exec) and what they tell each other.
