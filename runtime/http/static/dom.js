// Makes elements and changes only what differs.

export const el = (id) => document.getElementById(id);
export function make(tag, name = "", text = "") {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text) node.textContent = text;
  return node;
}
export function put(node, text) { if (node.textContent !== text) node.textContent = text; }
export function kind(node, name) { if (node.className !== name) node.className = name; }

// The child of this name, made and added where there is none.
export function child(parent, name, build) {
  for (const node of parent.children) if (node.dataset.name === name) return node;
  for (const node of [...parent.children]) if (node.classList.contains("empty")) node.remove();
  const made = build();
  made.dataset.name = name;
  parent.append(made);
  return made;
}

// Removes children whose name is not among these.
export function only(parent, names) {
  for (const node of [...parent.children]) if (node.dataset.name !== undefined && !names.has(node.dataset.name)) node.remove();
}
