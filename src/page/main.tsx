import { render } from 'preact'
import { App } from './app.tsx'
import { followChanges } from './server/live.ts'
import { watchConnection } from './server/offline.ts'
import { loadCaller, watchSession } from './server/session.ts'
import { applyTheme } from './theme.ts'
import { followTime } from './values/now.ts'

applyTheme()
watchSession()
watchConnection()
followTime()
loadCaller()
  .catch(() => {})
  .finally(followChanges)
const root = document.getElementById('page')
if (root) render(<App />, root)
