import { render } from 'preact'
import { App } from './app.tsx'
import { followChanges } from './live.ts'
import { followTime } from './now.ts'
import { watchConnection } from './offline.ts'
import { loadCaller, watchSession } from './session.ts'
import { applyTheme } from './theme.ts'

applyTheme()
watchSession()
watchConnection()
followTime()
loadCaller()
  .catch(() => {})
  .finally(followChanges)
const root = document.getElementById('page')
if (root) render(<App />, root)
