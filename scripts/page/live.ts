import type { Page } from 'playwright-core'
import { makeImage } from '../lib/image.ts'
import { Registry } from '../lib/registry.ts'
import { password } from './hostile.ts'
import { type Act, by, byWithError } from './trouble.ts'

/** What a page shows without being asked: what others do, and whether there is a connection. */
export const liveActs: Record<string, Act> = {
  'see a push of somebody else': by('alice', async (page, origin) => {
    await link(page, await openLive(page, origin)).waitFor()
    await link(page, await push(origin)).waitFor()
  }),
  'share one stream among tabs': by('alice', async (page, origin) => {
    const context = page.context()
    let streams = 0
    context.on('request', (request) => {
      if (request.url().includes('/events/watch')) streams++
    })
    const first = await openLive(page, origin)
    const tabs = [page, await context.newPage(), await context.newPage()]
    for (const tab of tabs.slice(1)) await tab.goto('/repositories/alice/live')
    for (const tab of tabs) await link(tab, first).waitFor()
    const next = await push(origin)
    for (const tab of tabs) await link(tab, next).waitFor()
    if (streams !== 1) throw new Error(`three tabs opened ${streams} streams`)
    // Another tab leads when the first one is closed.
    await page.goto('about:blank')
    const last = await push(origin)
    for (const tab of tabs.slice(1)) await link(tab, last).waitFor()
  }),
  /** Something changes after the list was read, and before the stream begins. */
  'see a change of the first moment': by('alice', async (page, origin) => {
    const first = await push(origin)
    let tag = ''
    await page.route('**/api/v1/events/watch', async (route) => {
      await link(page, first).waitFor()
      if (tag === '') tag = await push(origin)
      await route.continue()
    })
    await page.goto('/repositories/alice/live')
    await page.waitForResponse((response) => response.url().includes('/events/watch'))
    await link(page, tag).waitFor()
  }),
  'stay where a long list was scrolled to': by('admin', async (page, origin) => {
    await page.goto('/activity')
    await page.getByRole('button', { name: 'Show earlier' }).click()
    const lines = page.locator('.timeline li')
    await lines.nth(150).waitFor()
    await push(origin, 'infra/live')
    await page.getByText('infra/live').first().waitFor()
    if ((await lines.count()) <= 150) throw new Error('the list is shorter than before')
  }),
  'be told that there is no connection, and go on': byWithError(
    'bob',
    /ERR_INTERNET_DISCONNECTED|^failed: /,
    async (page) => {
      await page.goto('/repositories')
      await link(page, 'team/web').waitFor()
      await page.context().setOffline(true)
      await link(page, 'team/web').click()
      await page.getByText('The server cannot be reached. This page continues').waitFor()
      await page.context().setOffline(false)
      await page.getByText('The server cannot be reached. This page continues').waitFor({ state: 'detached' })
      await page.getByRole('heading', { name: 'team/web' }).waitFor()
    },
  ),
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

/** Opens the page of a repository with a tag, and returns the tag. */
async function openLive(page: Page, origin: string): Promise<string> {
  const tag = await push(origin)
  await page.goto(`${origin}/repositories/alice/live`)
  return tag
}
