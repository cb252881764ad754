// The list of jobs: a search goes on by itself, and rows are selected in ranges.

// searchOn goes on with a search where the page ended, row after row, to the end of all
// there is. Stop keeps what was found.
function searchOn(box) {
  const form = document.querySelector('form[data-bulk]')
  const body = document.querySelector('tbody[data-rows]')
  const told = box.querySelector('[data-say]'), bar = box.querySelector('[data-bar]')
  const stop = box.querySelector('[data-stop]'), on = box.querySelector('[data-go]')
  const before = Number(box.dataset.rows), began = performance.now()
  const asked = new AbortController()
  const number = n => n.toLocaleString('en-US')
  let last = null
  for (const e of [bar, stop]) e.hidden = false
  on.hidden = true
  stop.addEventListener('click', () => asked.abort())

  const end = text => {
    for (const e of [bar, stop]) e.hidden = true
    told.textContent = text
    box.removeAttribute('data-busy')
    if (last?.next) {
      on.href = location.pathname + '?' + with_(box, last.next)
      on.textContent = 'More'
      on.hidden = false
    }
  }
  const take = line => {
    last = { ...last, ...line }
    if (line.rows && body) {
      const rows = markup(`<table><tbody>${line.rows}</tbody></table>`).querySelector('tbody')
      startAll(rows)
      body.append(...rows.children)
    }
    const found = before + line.found, seconds = ((performance.now() - began) / 1000).toFixed(1)
    const percent = line.of ? Math.floor(100 * line.looked / line.of) : 0
    bar.value = percent
    if (line.error) end(`The search ended early: ${line.error}`)
    else if (line.end) {
      end(`Searched ${number(line.looked)} in ${seconds} s: ${number(found)} found.`)
      say(told.textContent)
    } else told.textContent = `searching ${number(line.of)} … ${percent} % · ${number(found)} so far · ${seconds} s`
    for (const option of form?.querySelectorAll('option[value="all"]') ?? []) {
      option.textContent = line.end ? `all ${number(found)} that match` : 'all that match'
    }
  }
  box.setAttribute('data-busy', '')
  told.setAttribute('role', 'none') // it ticks; its end is said
  lines(`${box.dataset.address}&after=${encodeURIComponent(box.dataset.after)}&rows=${before}`, asked.signal, take)
    .then(() => { if (!last?.end) end('The search ended early.') })
    .catch(err => {
      const so = last ? `${number(last.looked)} of ${number(last.of)} were searched, ${number(before + last.found)} found.` : ''
      end(asked.signal.aborted ? `Stopped: ${so}` : `The search ended early. ${so}`)
      if (!asked.signal.aborted) console.warn(err)
    })
  addEventListener('pagehide', () => asked.abort(), { once: true })
}

function with_(box, after) {
  const query = new URLSearchParams(location.search)
  query.delete('row')
  query.set('after', after)
  return query
}

// lines reads an answer that is one object a line, each as it comes.
async function lines(address, signal, take) {
  const answer = await fetch(address, { signal })
  if (!answer.ok) throw new Error(answer.statusText)
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    const parts = (rest + value).split('\n')
    rest = parts.pop()
    for (const part of parts) take(JSON.parse(part))
  }
}

// picking keeps count of what is selected, and takes a click with Shift as far as it.
function picking(form) {
  const which = form.querySelector('select[name="which"]'), told = form.querySelector('[data-picked]')
  const boxes = () => [...form.querySelectorAll('input[name="jid"]')]
  const count = () => {
    const n = boxes().filter(b => b.checked).length
    for (const b of boxes()) b.closest('tr').setAttribute('aria-selected', b.checked)
    if (told) told.textContent = which?.value === 'all' ? '' : n === 1 ? '1 selected' : `${n} selected`
    for (const button of form.querySelectorAll('.bulkbar button[name="verb"]')) button.disabled = n === 0 && which?.value !== 'all'
  }
  let last = null
  form.addEventListener('click', e => {
    if (e.target.name !== 'jid') return
    const all = boxes(), from = all.indexOf(last), to = all.indexOf(e.target)
    if (e.shiftKey && from >= 0) for (const b of all.slice(Math.min(from, to), Math.max(from, to) + 1)) b.checked = e.target.checked
    last = e.target
  })
  form.addEventListener('change', count)
  form.querySelector('[data-all]')?.addEventListener('click', () => {
    which.value = 'all'
    for (const b of boxes()) b.checked = true
    count()
    say(which.selectedOptions[0].textContent)
  })
  form.querySelector('[data-page]')?.addEventListener('click', e => {
    for (const b of boxes()) b.checked = e.target.checked
    count()
  })
  count()
}

onPage(root => {
  for (const box of root.querySelectorAll('[data-searched]')) if (box.dataset.after) searchOn(box)
  for (const form of root.querySelectorAll('form[data-bulk]')) if (form.querySelector('.bulkbar')) picking(form)
})
