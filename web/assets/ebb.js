// What makes the pages fresh and quick to move about in. Without it they work as well.
// All files called ebb.NAME.js follow in the same module.

const base = document.body.dataset.base
const policy = globalThis.trustedTypes?.createPolicy('ebb', { createHTML: text => text })

// markup makes elements of what our own pages have sent. Nothing else may.
function markup(text) {
  const t = document.createElement('template')
  t.innerHTML = policy ? policy.createHTML(text) : text
  return t.content
}

// Parts that want to see the page once it is there, and every piece that comes later.
const starts = []
function onPage(start) { starts.push(start) }
function startAll(root) { for (const start of starts) start(root) }
queueMicrotask(() => startAll(document))

// What the reader prefers is kept in cookies: the server writes what the first frame needs
// into the page.
function preference(name) {
  try { return document.cookie.match(`(?:^|; )ebb\\.${name}=([a-z]+)`)?.[1] ?? null } catch { return null }
}
function prefer(name, value) {
  try {
    const secure = location.protocol === 'https:' ? '; secure' : ''
    document.cookie = `ebb.${name}=${value ?? ''}; path=${base || '/'}; max-age=${value ? 365 * 86400 : 0}; samesite=lax${secure}`
  } catch { /* it lasts for this page alone */ }
  const { dataset } = document.documentElement
  if (value) dataset[name] = value
  else delete dataset[name]
  tick()
}

// say speaks to who cannot see: phases and results, never ticks.
function say(text) {
  const region = document.querySelector('[data-said]')
  if (region && region.textContent !== text) region.textContent = text
}

function element(name, attributes, ...children) {
  const e = document.createElement(name)
  for (const [key, value] of Object.entries(attributes ?? {})) if (value !== null && value !== undefined) e.setAttribute(key, value)
  e.append(...children)
  return e
}
