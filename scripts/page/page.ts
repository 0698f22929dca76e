import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { startServer } from '../lib/server.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { doActs } from './acts.ts'
import { launch } from './browser.ts'
import { checkBudgets } from './budget.ts'
import { seedWithClients } from './client-seed.ts'
import { password } from './hostile.ts'
import { useKeyboard } from './keyboard.ts'
import { checkReference } from './reference.ts'
import { makeScreenshots } from './screenshots.ts'
import { seed } from './seed.ts'
import { storedActs } from './stored.ts'
import { walkPages } from './walk.ts'

/**
 * `page [screenshots]`: uses the web page and the API's reference of the executable in Chromium, on content of each kind, as each kind
 * of account. Fails if something is not shown, an error is reported, a request goes to another host, a policy is
 * violated, hostile content is more than text, axe finds a barrier, or a budget is exceeded. `screenshots` makes those of
 * the documentation instead.
 */
export async function run([act]: string[]): Promise<void> {
  await using folder = await temporaryFolder('page')
  const data = join(folder.path, 'data')
  await using server = await startServer({ data, access: 'accounts', env: { CAY_ADMIN_PASSWORD: password } })
  await using upstream = await startServer()
  const stored = storedActs({ data, upstream: upstream.address })
  const checks: ((browser: Browser, origin: string) => Promise<string[]>)[] = [
    checkReference,
    checkBudgets,
    walkPages,
    (browser, origin) => doActs(browser, origin, stored),
    useKeyboard,
  ]
  const origin = `http://${server.address}`
  await seed(origin)
  await seedWithClients(server.address)
  const browser = await launch()
  const faults: string[] = []
  try {
    if (act === 'screenshots') return await makeScreenshots(browser, origin)
    for (const check of checks) faults.push(...(await check(browser, origin)))
  } finally {
    await browser.close()
  }
  if (faults.length > 0) throw new Error(`${origin}\n${faults.join('\n')}`)
  console.log('the page shows and does everything, for everybody who may, in both themes, and by keyboard')
}
