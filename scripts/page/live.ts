import type { Page } from 'playwright-core'
import { makeImage } from '../lib/image.ts'
import { Registry } from '../lib/registry.ts'
import { password } from './hostile.ts'
import type { Act } from './trouble.ts'

/** What a page shows without being asked: what others do, and whether there is a connection. */
export const liveActs: Record<string, Act> = {
  'see a push of somebody else': { account: 'alice', act: seePush },
  'share one stream among tabs': { account: 'alice', act: shareStream },
  'see a change of the first moment': { account: 'alice', act: seeEarlyPush },
  'stay where a long list was scrolled to': { account: 'admin', act: stayScrolled },
  'be told that there is no connection, and go on': {
    account: 'bob',
    expected: /ERR_INTERNET_DISCONNECTED|^failed: /,
    act: loseConnection,
  },
}

let pushes = 0

/** Pushes another image as the server admin, and returns its tag. */
async function push(origin: string, repository = 'alice/live'): Promise<string> {
  const tag = `live-${++pushes}`
  const labels = { push: `${pushes}` }
  const image = await makeImage({ layerCount: 1, layerBytes: 1000, labels })
  await new Registry(`admin:${password}@${new URL(origin).host}`).pushContent(repository, tag, image)
  return tag
}

const link = (page: Page, name: string) => page.getByRole('link', { name, exact: true })

async function seePush(page: Page, origin: string): Promise<void> {
  await link(page, await openLive(page, origin)).waitFor()
  await link(page, await push(origin)).waitFor()
}

/** Opens the page of a repository with a tag, and returns the tag. */
async function openLive(page: Page, origin: string): Promise<string> {
  const tag = await push(origin)
  await page.goto(`${origin}/repositories/alice/live`)
  return tag
}

async function shareStream(page: Page, origin: string): Promise<void> {
  const context = page.context()
  let streams = 0
  context.on('request', (request) => {
    if (request.url().includes('/events/watch')) streams++
  })
  const first = await openLive(page, origin)
  const tabs = [page, await context.newPage(), await context.newPage()]
  for (const tab of tabs.slice(1)) await tab.goto(`${origin}/repositories/alice/live`)
  for (const tab of tabs) await link(tab, first).waitFor()
  const next = await push(origin)
  for (const tab of tabs) await link(tab, next).waitFor()
  if (streams !== 1) throw new Error(`three tabs opened ${streams} streams`)
  // Another tab leads when the first one is closed.
  await page.goto('about:blank')
  const last = await push(origin)
  for (const tab of tabs.slice(1)) await link(tab, last).waitFor()
}

/** Something changes after the list was read, and before the stream begins. */
async function seeEarlyPush(page: Page, origin: string): Promise<void> {
  const first = await push(origin)
  let tag = ''
  await page.route('**/api/v1/events/watch', async (route) => {
    await link(page, first).waitFor()
    if (tag === '') tag = await push(origin)
    await route.continue()
  })
  await page.goto(`${origin}/repositories/alice/live`)
  await page.waitForResponse((response) => response.url().includes('/events/watch'))
  await link(page, tag).waitFor()
}

async function stayScrolled(page: Page, origin: string): Promise<void> {
  await page.goto(`${origin}/activity`)
  await page.getByRole('button', { name: 'Show earlier' }).click()
  const lines = page.locator('.timeline li')
  await lines.nth(150).waitFor()
  await push(origin, 'infra/live')
  await page.getByText('infra/live').first().waitFor()
  if ((await lines.count()) <= 150) throw new Error('the list is shorter than before')
}

async function loseConnection(page: Page, origin: string): Promise<void> {
  await page.goto(`${origin}/repositories`)
  await link(page, 'team/web').waitFor()
  await page.context().setOffline(true)
  await link(page, 'team/web').click()
  await page.getByText('The server cannot be reached. This page continues').waitFor()
  await page.context().setOffline(false)
  await page.getByText('The server cannot be reached. This page continues').waitFor({ state: 'detached' })
  await page.getByRole('heading', { name: 'team/web' }).waitFor()
}
