/** Does on the web page, in Chromium, what people do there, and waits for what they would see. */

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Browser, Locator, Page } from 'playwright-core'
import { makeImage } from '../../scripts/lib/image.ts'
import { startServer } from '../../scripts/lib/server.ts'
import { launch, visit } from './chromium.ts'
import { hostile, type SeededRegistry, startSeededRegistry } from './registry.ts'

let registry: SeededRegistry
let browser: Browser
let pushes = 0

beforeAll(async () => {
  registry = await startSeededRegistry()
  browser = await launch()
})

afterAll(async () => {
  await browser?.close()
  await registry?.[Symbol.asyncDispose]()
})

type Work = (page: Page) => Promise<void>

/** Declares a test in which an account acts. */
const act = (account: string, title: string, work: Work) => actWithError(account, title, /^$/, work)

/** Does the same where Chromium reports an error although the act succeeds. */
function actWithError(account: string, title: string, expected: RegExp, work: Work): void {
  test(`page: ${account} ${title}`, async () => {
    const { page, faults } = await visit(browser, registry.origin, account)
    await work(page)
    expect(faults.filter((fault) => !expected.test(fault))).toEqual([])
    await page.context().close()
  })
}

act('alice', 'deletes tags and undoes it', async (page) => {
  await page.goto('/repositories/team/worker?q=2.1')
  await check(page, 'Select 2.1.0', 'Select 2.10.0')
  await press(page, 'Delete')
  await press(page.getByRole('dialog'), 'Delete 2 tags')
  await see(page, 'Deleted 2 tags')
  await gone(link(page, '2.10.0'))
  await press(page, 'Undo')
  await link(page, '2.10.0').waitFor()
})

act('alice', 'sets an expiry', async (page) => {
  await page.goto('/repositories/team/worker?q=2.3.0')
  await check(page, 'Select 2.3.0')
  await press(page, 'Expire')
  await page.getByRole('radio', { name: 'In a week' }).check()
  await press(page, 'Set expiry')
  await page.getByRole('cell', { name: 'in 7 days' }).waitFor()
})

act('bob', 'finds an image by a label', async (page) => {
  await page.goto('/repositories')
  await press(page, 'Search')
  const field = page.getByRole('searchbox', { name: 'Search repositories' })
  const labels = page.getByRole('region', { name: 'Labels' })
  await field.fill('com.example.hostile')
  await see(labels, `com.example.hostile=${hostile.html}`)
  await field.fill('org.opencontainers.image.revision=4f8')
  await link(labels, 'team/api:latest org.opencontainers.image.revision=4f866d2c91b0').click()
  await page.waitForURL('**/repositories/team/api/-/manifests/latest')
})

act('bob', 'compares two tags', async (page) => {
  await page.goto('/repositories/team/worker?sort=name')
  await check(page, 'Select 2.1.0', 'Select 2.2.0')
  await link(page, 'Compare').click()
  await see(page, 'Only in the second: 1 layer')
})

act('bob', 'reads the packages of an SBOM', async (page) => {
  await page.goto('/repositories/team/api/-/manifests/latest')
  await link(page, 'SPDX SBOM').click()
  await page.getByRole('searchbox', { name: 'Filter packages' }).fill('libcrypto')
  await page.getByRole('cell', { name: 'libcrypto3' }).waitFor()
  await gone(page.getByRole('cell', { name: 'musl' }))
})

act('alice', 'creates and revokes a token', async (page) => {
  await page.goto('/accounts/me')
  await press(page, 'Create a token')
  await fill(page, { 'What it is for': 'laptop' })
  await press(page, /^Create$/)
  await see(page, 'It is not shown again')
  await press(page, 'Revoke: laptop', 'Revoke the token')
  await see(page, 'The token is revoked')
})

/** Arrow keys in a dialog belong to its fields, not to the table that the dialog was opened from. */
act('admin', 'chooses with arrow keys when a token expires', async (page) => {
  await page.goto('/accounts')
  await press(page, 'Tokens: alice', 'Create a token')
  const expires = page.getByLabel('Expires')
  await expires.focus()
  await page.keyboard.press('ArrowUp')
  expect(await expires.inputValue()).toBe('30')
})

actWithError(
  'admin',
  'is refused a wrong pattern, grants a role and revokes it',
  /status of 400/,
  async (page) => {
    await page.goto('/accounts/grants')
    await press(page, 'Grant a role')
    await fill(page, { Who: 'bob', Repositories: 'not a pattern' })
    await press(page, /^Grant$/)
    await see(page.getByRole('dialog').getByRole('alert'), 'pattern')
    await fill(page, { Repositories: 'charts/*' })
    await press(page, /^Grant$/, 'Revoke: bob on charts/*')
    await see(page, 'is no longer reader on charts/*')
  },
)

act('admin', 'changes settings of a repository, which the search then finds', async (page) => {
  await page.goto('/repositories/infra/postgres/-/settings')
  await fill(page, { Description: 'The database' })
  await press(page, 'Save')
  await see(page, 'The settings are saved')
  await page.goto('/repositories?q=database')
  await link(page, 'infra/postgres').waitFor()
})

act('admin', 'runs a job', async (page) => {
  await page.goto('/maintenance')
  await press(page, 'Start: Scan for lost files')
  await see(page, 'done')
})

act('bob', 'is offered nothing that only a writer can do', async (page) => {
  await page.goto('/repositories/team/worker')
  await check(page, 'Select 2.29.0')
  await see(page, '1 selected')
  const offered = [...['Delete', 'Expire'].map((name) => button(page, name)), link(page, 'Settings')]
  expect(await Promise.all(offered.map((item) => item.isVisible()))).toEqual([false, false, false])
})

act('admin', 'undoes a run of retention', async (page) => {
  await page.goto('/maintenance/retention')
  await button(page, 'Undo the run').first().click()
  await see(page, '3 tags restored')
  await page.goto('/repositories/ci/app')
  await link(page, /^pr-1$/).waitFor()
})

act('admin', 'adds, changes and deletes a policy, and undoes that', async (page) => {
  await page.goto('/maintenance/retention')
  await press(page, 'Add a policy')
  await fill(page, {
    Name: 'nightly',
    Repositories: 'nightly/** beta/**',
    'Keep if pushed within days': '30',
  })
  await press(page, /^Add$/)
  await see(page, 'pushed in the last 30 days')
  const card = page.locator('section.card', { has: page.getByRole('heading', { name: 'nightly' }) })
  await press(card, 'Change')
  await fill(page, { 'Tags to keep': 'v*, release' })
  await press(page, 'Save')
  await see(card, 'v*, release')
  await press(page, 'Delete: nightly', 'Delete the policy')
  await gone(card)
  await press(page, /^Undo$/)
  await see(card, 'v*, release')
})

act('admin', 'sets a quota and deletes it', async (page) => {
  await page.goto('/maintenance/quotas')
  await press(page, 'Set a quota')
  await fill(page, { Namespace: 'infra', 'Size in GiB': '0.5' })
  await press(page, /^Set$/)
  await see(page, 'of 512 MiB')
  await press(page, 'Delete: infra', 'Delete the quota')
  await gone(page.getByText('of 512 MiB'))
})

act('alice', 'restores several manifests and undoes it', async (page) => {
  for (const tag of ['2.11.0', '2.12.0']) {
    await page.goto(`/repositories/team/worker/-/manifests/${tag}`)
    await press(page, 'Delete', 'Delete the manifest')
    await see(page, 'Deleted the manifest with 1 tag')
  }
  await page.goto('/repositories/team/worker/-/deleted')
  await check(page, 'Select all that are loaded')
  await press(page, 'Restore 2')
  await see(page, 'No deleted manifest can be restored')
  await press(page, 'Undo')
  await page.getByRole('checkbox', { name: 'Select sha256' }).nth(1).waitFor()
})

/** Verification reads a bounded number of bytes in a second, so it takes long enough to be cancelled. */
act('admin', 'cancels a job', async (page) => {
  const image = await makeImage({ layerCount: 2, layerBytes: 30_000_000 })
  await registry.admin.pushContent('infra/large', 'latest', image)
  await page.goto('/maintenance')
  await press(page, 'Start: Verification of stored content', /^Cancel$/)
  await see(page, 'The job is being cancelled')
  await page.getByText('cancelled', { exact: true }).waitFor()
  await gone(button(page, /^Cancel$/))
})

act('admin', 'caches another registry: adds, checks, pins and evicts', async (page) => {
  await using upstream = await startServer()
  const image = await makeImage({ layerCount: 1, layerBytes: 100_000 })
  await upstream.registry.pushContent('library/alpine', '3', image)
  const name = 'up.example/library/alpine:3'
  const pull = () => registry.admin.get('/v2/up.example/library/alpine/manifests/3')
  await page.goto('/cache')
  await press(page, 'Add an upstream')
  await fill(page, { Name: 'up.example', URL: `http://${upstream.address}` })
  await press(page, /^Add$/, 'Check: up.example')
  await see(page, 'up.example responds')
  await see(page, 'Last check: ok')
  await pull()
  await page.getByText('0%', { exact: true }).waitFor()
  await pull()
  await page.getByText('50%', { exact: true }).waitFor()
  await link(page, name).waitFor()
  await press(page, `Check ${name} with its upstream`)
  await see(page, `${name} is fresh`)
  await press(page, `Pin ${name}`, `Unpin: ${name}`)
  await see(page, `${name} can be evicted again`)
  await press(page, `Evict ${name}`)
  await press(page.getByRole('dialog'), 'Evict')
  await see(page, `${name} is evicted`)
  await gone(link(page, name))
})

act('admin', 'finds damaged content, which a push heals', async (page) => {
  const image = await makeImage({ layerCount: 1, layerBytes: 400_000 })
  await registry.admin.pushContent('infra/damaged', 'latest', image)
  const [[digest, bytes] = ['', new Uint8Array()]] = [...image.blobs].sort(
    ([, a], [, b]) => b.length - a.length,
  )
  const files = await readdir(join(registry.data, 'blobs'), { recursive: true })
  const file = files.find((path) => path.endsWith(digest.replace('sha256:', '')))!
  await Bun.write(join(registry.data, 'blobs', file), new Uint8Array(bytes.length))
  await page.goto('/maintenance/damage')
  await press(page, 'Verify everything now')
  await page.goto('/maintenance')
  await see(page, '1 damaged')
  await page.goto('/maintenance/damage')
  await link(page, 'infra/damaged').first().waitFor()
  await registry.admin.pushContent('infra/damaged', 'latest', image)
  await page.reload()
  await see(page, 'No damaged content is known')
})

/** The second page of the list fails. It is asked for once, and again only when somebody wants it. */
actWithError('bob', 'is told that a list cannot be read, and tries again', /status of 500/, async (page) => {
  let count = 0
  await page.route('**/api/v1/repositories/*/tags?*', async (route) => {
    if (route.request().url().includes('cursor=')) {
      count++
      return await route.fulfill({ status: 500, json: { code: 'UNKNOWN', detail: 'it broke' } })
    }
    const response = await route.fetch()
    await route.fulfill({ response, json: { ...(await response.json()), nextCursor: 'next' } })
  })
  await page.goto('/repositories/team/worker')
  await see(page.getByRole('alert'), 'it broke')
  const again = page.waitForResponse(/cursor=/)
  await press(page, 'Try again')
  await again
  await page.waitForLoadState('networkidle')
  expect(count).toBe(2)
})

actWithError(
  'admin',
  'is told that a page cannot be loaded, and reloads it',
  /status of 404/,
  async (page) => {
    await page.goto('/')
    await see(page, 'What fills it')
    await page.route('**/assets/*.js', (route) => route.fulfill({ status: 404 }))
    await link(page, 'Settings').click()
    await see(page, 'This page could not be loaded')
    await page.unrouteAll()
    await press(page, 'Reload')
    await see(page, 'uploads.pool-bytes')
  },
)

actWithError('bob', 'is told that the session has ended', /status of 401/, async (page) => {
  await page.goto('/repositories')
  await page.context().clearCookies()
  await link(page, 'Accounts').click()
  await see(page, 'Your session has ended')
})

act('admin', 'is told what is deleted with a robot', async (page) => {
  await page.goto('/accounts/robots')
  await press(page, 'Delete: alice+ci')
  await see(page, 'This deletes alice+ci, 1 token and its grants')
  await press(page, 'Cancel')
  await see(page, 'alice+ci')
})

act('admin', 'is told of damaged content on the first page', async (page) => {
  const neededBy = [{ repository: 'team/web', tag: 'latest' }, { repository: 'team/api' }]
  const one = { digest: `sha256:${'ab'.repeat(32)}`, kind: 'blob', bytes: 7, foundAt: new Date(), neededBy }
  await page.route('**/api/v1/storage', async (route) => {
    const response = await route.fetch()
    await route.fulfill({ response, json: { ...(await response.json()), damagedCount: 1 } })
  })
  await page.route('**/api/v1/damage', (route) => route.fulfill({ json: { items: [one] } }))
  await page.goto('/')
  await see(page, '1 blob or manifest is damaged')
  await link(page, 'team/web:latest').first().waitFor()
})

act('alice', "sees somebody else's push at once", async (page) => {
  await link(page, await openLive(page)).waitFor()
  await link(page, await push()).waitFor()
})

act('alice', 'has one stream for three tabs, which outlives the first one', async (page) => {
  const context = page.context()
  let streams = 0
  context.on('request', (request) => {
    if (request.url().includes('/events/watch')) streams++
  })
  const first = await openLive(page)
  const others = [await context.newPage(), await context.newPage()]
  for (const tab of others) await tab.goto('/repositories/alice/live')
  for (const tab of [page, ...others]) await link(tab, first).waitFor()
  const next = await push()
  for (const tab of [page, ...others]) await link(tab, next).waitFor()
  expect(streams).toBe(1)
  await page.goto('about:blank')
  const last = await push()
  for (const tab of others) await link(tab, last).waitFor()
})

act('alice', 'sees a change between the read of a list and the begin of the stream', async (page) => {
  const first = await push()
  let tag = ''
  await page.route('**/api/v1/events/watch', async (route) => {
    await link(page, first).waitFor()
    if (tag === '') tag = await push()
    await route.continue()
  })
  await page.goto('/repositories/alice/live')
  await page.waitForResponse((response) => response.url().includes('/events/watch'))
  await link(page, tag).waitFor()
})

act('admin', 'stays where a long list was scrolled to', async (page) => {
  await page.goto('/activity')
  await press(page, 'Show earlier')
  const lines = page.locator('.timeline li')
  await lines.nth(150).waitFor()
  await push('infra/live')
  await see(page, 'infra/live')
  expect(await lines.count()).toBeGreaterThan(150)
})

actWithError(
  'bob',
  'is told that there is no connection, and goes on',
  /ERR_INTERNET_DISCONNECTED|^failed: /,
  async (page) => {
    await page.goto('/repositories')
    await link(page, /^team\/web$/).waitFor()
    await page.context().setOffline(true)
    await link(page, /^team\/web$/).click()
    await see(page, 'The server cannot be reached. This page continues')
    await page.context().setOffline(false)
    await gone(page.getByText('The server cannot be reached. This page continues'))
    await page.getByRole('heading', { name: 'team/web' }).waitFor()
  },
)

act('bob', 'browses the files of an image', async (page) => {
  await page.goto('/repositories/team/site/-/manifests/1.0')
  await link(page, /^Files$/).click()
  await link(page, /^srv$/).click()
  await page.waitForURL(/path=srv/)
  await link(page, /^Download /)
    .first()
    .waitFor()
  await link(page.getByRole('navigation', { name: 'Directory' }), 'Root').click()
  await link(page, /^srv$/).waitFor()
})

act('bob', 'finds a file and downloads it', async (page) => {
  await page.goto('/repositories/team/site/-/files/1.0')
  await page.getByRole('searchbox', { name: 'Find below this directory' }).fill('INDEX')
  await press(page, 'Find')
  const started = page.waitForEvent('download')
  await link(page, 'Download index.html').click()
  expect((await started).suggestedFilename()).toBe('index.html')
})

act('bob', 'compares the files of two images', async (page) => {
  for (const [to, summary] of Object.entries({
    '1.0': 'The files are the same',
    '2.0': '1 added, 1 changed, 1 removed',
  })) {
    await page.goto(`/repositories/team/site/-/compare?from=1.0&to=${to}`)
    await press(page, 'Compare files')
    await see(page, summary)
  }
  for (const name of ['added srv/news.html', 'changed srv/index.html', 'removed srv/assets/photo.bin'])
    await page.getByRole('row', { name }).waitFor()
})

type Scope = Page | Locator

const link = (scope: Scope, name: string | RegExp) => scope.getByRole('link', { name })
const button = (scope: Scope, name: string | RegExp) => scope.getByRole('button', { name })
const see = (scope: Scope, text: string) => scope.getByText(text).first().waitFor()
const gone = (locator: Locator) => locator.waitFor({ state: 'detached' })

/** Presses buttons, one after the other. */
async function press(scope: Scope, ...names: (string | RegExp)[]): Promise<void> {
  for (const name of names) await button(scope, name).click()
}

async function check(scope: Scope, ...names: string[]): Promise<void> {
  for (const name of names) await scope.getByRole('checkbox', { name }).check()
}

/** Fills fields by their label. */
async function fill(scope: Scope, values: Record<string, string>): Promise<void> {
  for (const [label, value] of Object.entries(values))
    await scope.getByLabel(label, { exact: true }).fill(value)
}

/** Pushes another image as the server admin, and returns its tag. */
async function push(repository = 'alice/live'): Promise<string> {
  const tag = `live-${++pushes}-`
  const image = await makeImage({ layerCount: 1, layerBytes: 1000, labels: { push: tag } })
  await registry.admin.pushContent(repository, tag, image)
  return tag
}

/** Opens the page of a repository with a tag, and returns the tag. */
async function openLive(page: Page): Promise<string> {
  const tag = await push()
  await page.goto('/repositories/alice/live')
  return tag
}
