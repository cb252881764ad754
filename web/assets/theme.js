// How the reader wants pages to look. It runs before the first paint, so that nothing
// flashes; settings change it by wear().
'use strict'
function wear() {
  for (const name of ['theme', 'density', 'clock']) {
    let value = null
    try {
      value = localStorage.getItem('ebb.' + name)
    } catch { /* storage is forbidden: the system's own look */ }
    if (value) document.documentElement.dataset[name] = value
    else delete document.documentElement.dataset[name]
  }
}
wear()
