// The palette: anything there is and anything that can be done, by its name. Without
// script it is the page behind the same link.

let palette = null
let asked = 0

function openPalette() {
  palette ??= makePalette()
  const input = palette.querySelector('input')
  input.value = ''
  palette.showModal()
  find(input.value)
}

function makePalette() {
  const list = element('ul', { role: 'listbox', id: 'found', 'aria-label': 'What was found', class: 'plain' })
  const input = element('input', {
    type: 'text', role: 'combobox', 'aria-expanded': 'true', 'aria-controls': 'found', 'aria-autocomplete': 'list',
    'aria-label': 'Find a page, queue, kind, process, stop, job or action', placeholder: 'Find or do anything', autocomplete: 'off', spellcheck: 'false',
  })
  const box = element('dialog', { class: 'palette', 'aria-label': 'Find' }, input, list)
  let wait
  input.addEventListener('input', () => {
    clearTimeout(wait)
    wait = setTimeout(() => find(input.value), 60)
  })
  input.addEventListener('keydown', e => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key]
    if (step) {
      e.preventDefault()
      choose(step)
    } else if (e.key === 'Enter') {
      e.preventDefault()
      list.querySelector('[aria-selected="true"]')?.click()
    }
  })
  box.addEventListener('click', e => { if (e.target === box) box.close() })
  document.body.append(box)
  return box
}

function choose(step) {
  const all = [...palette.querySelectorAll('[role="option"]')]
  const at = all.findIndex(o => o.getAttribute('aria-selected') === 'true')
  const next = all[(at + step + all.length) % all.length]
  for (const o of all) o.setAttribute('aria-selected', String(o === next))
  palette.querySelector('input').setAttribute('aria-activedescendant', next?.id ?? '')
  next?.scrollIntoView({ block: 'nearest' })
}

async function find(text) {
  const turn = ++asked
  let found
  try {
    const answer = await fetch(`${base}/find?${new URLSearchParams({ q: text })}`, { headers: { Accept: 'application/json' }, cache: 'no-store' })
    found = answer.ok ? await answer.json() : [{ title: `ebb web answers ${answer.status}`, group: '' }]
  } catch {
    found = [{ title: 'ebb web does not answer', group: '' }]
  }
  if (turn !== asked) return
  const list = palette.querySelector('ul')
  list.replaceChildren(...found.map((f, i) => {
    const option = element('li', { role: 'option', id: 'found-' + i, 'aria-selected': 'false' },
      element('span', {}, f.title), element('span', { class: 'muted' }, [f.group, f.detail].filter(Boolean).join(' · ')))
    if (f.path) option.addEventListener('click', e => follow(f, e.ctrlKey || e.metaKey))
    return option
  }))
  if (found.length > 0) choose(1)
}

// follow goes where something is, or does it. An option can hold no link and no button
// of its own: those who hear the page could not tell which of the two they are on.
function follow(f, apart) {
  palette.close()
  if (f.post) {
    const back = element('input', { name: 'back', value: location.pathname + location.search })
    const form = element('form', { method: 'post', action: f.path, hidden: '' }, back)
    document.body.append(form)
    form.submit()
  } else if (apart) open(f.path)
  else if (f.asks) confirmAt(f.path, document.activeElement)
  else location.href = f.path
}

document.addEventListener('click', e => {
  if (!e.target.closest?.('[data-palette]') || e.ctrlKey || e.metaKey || e.shiftKey || e.button !== 0) return
  e.preventDefault()
  openPalette()
})
