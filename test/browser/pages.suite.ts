/** Shows every page and the API's reference in Chromium, as each kind of account. `CHROMIUM` names another executable. */

import { afterAll, beforeAll, expect, test } from 'bun:test'
import axe from 'axe-core'
import type { OpenAPIV3 } from 'openapi-types'
import type { Browser, Page } from 'playwright-core'
import { launch, type Visit, visit } from './chromium.ts'
import { password, type SeededRegistry, startSeededRegistry } from './registry.ts'

const textMillisecondsMax = 5000
const shellBytesMax = 100 * 1024
const requestsMax = 12
const tabsMax = 120

/** Who sees what on which page. */
const pages: Record<string, [path: string, text: string][]> = {
  admin: [
    ['/', 'What fills it'],
    ['/', 'Quota of team'],
    ['/', 'above the reserve of'],
    ['/repositories', 'team/worker'],
    ['/repositories?q=char', 'charts/gateway'],
    ['/repositories?deleted=true', 'team/old'],
    ['/repositories/team/worker', '2.29.0'],
    ['/repositories/team/web/-/history', 'was deleted'],
    ['/repositories/team/web/-/deleted', 'can be restored'],
    ['/repositories/team/web/-/access', 'server admin'],
    ['/repositories/team/web/-/settings', 'Immutable tags'],
    ['/repositories/team/api/-/manifests/latest', 'SPDX SBOM'],
    ['/repositories/team/worker/-/manifests/latest', 'COPY 0.bin'],
    ['/repositories/policies/base', 'Rules <img src=x'],
    ['/repositories/charts/gateway/-/manifests/3.2.1', 'Routes traffic to the services. <img'],
    ['/repositories/team/worker/-/compare?from=2.1.0&to=2.2.0', 'Only in the first'],
    ['/repositories/team/api/-/compare?from=1.4&to=latest', 'No differences'],
    ['/repositories/team/site/-/files/1.0?path=srv', '<img src=x onerror=document.title=1>\u2423202etxt.exe'],
    ['/cache', 'registry.example'],
    ['/accounts', 'alice'],
    ['/accounts/robots', 'alice+ci'],
    ['/accounts/groups', 'platform'],
    ['/accounts/grants', 'public/**'],
    ['/accounts/access', 'What an account may do'],
    ['/accounts/me', 'Change the password'],
    ['/activity', 'deleted the repository team/old'],
    ['/activity?type=tag.delete', 'deleted the tag'],
    ['/activity/audit', 'grant.set'],
    ['/maintenance', 'Garbage collection'],
    ['/maintenance/garbage', 'it was deleted'],
    ['/maintenance/retention', 'the newest 3 by push time'],
    ['/maintenance/retention', '3 tags'],
    ['/maintenance/retention?tags=all&repository=ci/app', 'pr-8'],
    ['/maintenance/quotas', 'of 40'],
    ['/maintenance/damage', 'No damaged content is known'],
    ['/repositories/team/web/-/pulls', 'bob'],
    ['/repositories/team/site/-/manifests/1.0', 'https://git.example.com/team/site'],
    ['/repositories/team/tool/-/manifests/3.1', 'Sigstore'],
    ['/repositories/models/summary/-/manifests/v1', 'vnd.example.note'],
    ['/settings', 'Set by --data'],
    ['/repositories/none', 'there is no repository none'],
    ['/repositories/team/web/-/none', 'Not found'],
  ],
  alice: [
    ['/', 'alice/scratch'],
    ['/repositories/team/api', '1.4.0'],
    ['/repositories/team/api/-/access', 'a grant to a group'],
    ['/accounts/me', 'Create a token'],
    ['/accounts/robots', 'alice+ci'],
  ],
  bob: [
    ['/', 'team/api'],
    ['/repositories/team/api', '1.4.0'],
    ['/maintenance', 'Only server admins can see this page'],
  ],
  anonymous: [
    ['/', 'public/docs'],
    ['/sign-in', 'Sign in to'],
    ['/repositories/public/docs', 'latest'],
  ],
}

let registry: SeededRegistry
let browser: Browser
const visits = new Map<string, Visit>()

beforeAll(async () => {
  registry = await startSeededRegistry()
  browser = await launch()
  for (const account of Object.keys(pages))
    visits.set(account, await visit(browser, registry.origin, account === 'anonymous' ? undefined : account))
})

afterAll(async () => {
  await browser?.close()
  await registry?.[Symbol.asyncDispose]()
})

const rows = Object.entries(pages).flatMap(([account, shown]) =>
  shown.map((one) => [account, ...one] as const),
)

test.each(rows)(
  'page: %s sees %s with "%s", without barriers, and only as text',
  async (account, path, text) => {
    const { page, faults } = visits.get(account)!
    await page.goto(path)
    await expectText(page, text)
    expect([
      ...(await findHostile(page)),
      ...(await findOverflow(page)),
      ...(await findBarriers(page)),
    ]).toEqual([])
    // The server says so itself that there is no such repository.
    const known = path === '/repositories/none' ? / 404 / : undefined
    expect(faults.splice(0).filter((fault) => !known?.test(fault))).toEqual([])
  },
)

test('page: the shell and the requests of the first view stay within their budgets', async () => {
  const shell = await fetch(registry.origin)
  const paths = [...(await shell.text()).matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map(
    ([, path]) => path,
  )
  const assets = await Promise.all(paths.map((path) => fetch(registry.origin + path, { method: 'HEAD' })))
  const sizes = [shell, ...assets].map(({ headers }) => Number(headers.get('content-length')))
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeWithin(1, shellBytesMax + 1)
  const { page, requests } = visits.get('admin')!
  const before = requests()
  await page.goto('/')
  await page.waitForLoadState('networkidle')
  expect(requests() - before).toBeWithin(1, requestsMax + 1)
})

test('page: the keyboard alone signs in, finds a repository and restores a deleted tag', async () => {
  const { page, faults } = await visit(browser, registry.origin)
  const { keyboard } = page
  await page.goto('/sign-in')
  await page.getByLabel('Name').waitFor()
  await keyboard.type('admin')
  await keyboard.press('Tab')
  await keyboard.type(password)
  await keyboard.press('Enter')
  await page.locator('#main').waitFor()
  await keyboard.press('/')
  await page.getByRole('searchbox', { name: 'Search' }).waitFor()
  await keyboard.type('team/web')
  await page.getByRole('dialog').getByRole('link', { name: 'team/web' }).waitFor()
  await keyboard.press('Enter')
  await page.getByRole('heading', { name: 'team/web' }).waitFor()
  await tabTo(page, 'History')
  await keyboard.press('Enter')
  await page.getByText('was deleted').first().waitFor()
  await tabTo(page, 'Put it back: next')
  await keyboard.press('Enter')
  await page.getByText('points at what it pointed at before').waitFor()
  await tabTo(page, 'Tags')
  await keyboard.press('Enter')
  await page.getByRole('link', { name: 'next', exact: true }).waitFor()
  expect(faults).toEqual([])
})

test('reference: it shows every operation, and sends requests from its forms', async () => {
  const { page, faults } = await visit(browser, registry.origin, 'admin')
  await page.goto('/swagger')
  await page.getByText('/v2/{name}/tags/list').first().waitFor()
  const { tags = [], paths } = (await (
    await fetch(`${registry.origin}/swagger/json`)
  ).json()) as OpenAPIV3.Document
  const operations = Object.values(paths).flatMap((item) => {
    const { parameters, ...methods } = item ?? {}
    return Object.values(methods) as OpenAPIV3.OperationObject[]
  })
  const wanted = [...tags.map(({ description }) => description), ...operations.map(({ summary }) => summary)]
  const shown = String(await page.evaluate('document.body.innerText'))
  expect(wanted.filter((text) => !shown.includes(text ?? ''))).toEqual([])
  // The second one has optional parameters that exclude each other.
  for (const path of ['/api/v1/users', '/api/v1/repositories']) await sendForm(page, path)
  await page.evaluate('document.fonts.ready.then(() => true)')
  // Scalar tries whether it may evaluate text. It may not, and does without.
  expect(faults.filter((fault) => fault !== 'console: policy: script-src eval')).toEqual([])
})

async function expectText(page: Page, text: string): Promise<void> {
  const shown = page.getByText(text).first().waitFor({ timeout: textMillisecondsMax })
  if (
    !(await shown.then(
      () => true,
      () => false,
    ))
  )
    expect(await page.locator('main').textContent()).toContain(text)
}

/** Presses Tab until an element with this name has the focus. */
async function tabTo(page: Page, name: string): Promise<void> {
  const focused = `document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? ''`
  for (let count = 0; count < tabsMax; count++) {
    await page.keyboard.press('Tab')
    if (
      String(await page.evaluate(focused))
        .trim()
        .startsWith(name)
    )
      return
  }
  throw new Error(`the keyboard does not reach "${name}"`)
}

/** Sends the fresh form of an operation of the reference that returns a list. */
async function sendForm(page: Page, path: string): Promise<void> {
  await page.getByText(path, { exact: true }).first().click()
  await page
    .getByRole('button', { name: new RegExp(`test request.*${path}\\)?$`, 'i') })
    .first()
    .click()
  const form = page.getByRole('dialog').first()
  const answered = page.waitForResponse((response) => new URL(response.url()).pathname === path)
  await form.getByRole('button', { name: /^send/i }).first().click()
  const response = await answered
  expect(await response.json()).toHaveProperty('items')
  expect(response.status()).toBe(200)
  await form.getByText('200 OK').first().waitFor()
  await page.keyboard.press('Escape')
}

/** Returns what axe finds in both themes. The debugger evaluates it, which the page's policy does not concern. */
async function findBarriers(page: Page): Promise<string[]> {
  await page.evaluate(axe.source)
  const found: string[] = []
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    const violations = (await page.evaluate(
      `axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.map(({ id, nodes }) =>
        id + ': ' + nodes.slice(0, 3).map(({ html, any }) => html.slice(0, 160) + ' ' + (any[0]?.message ?? '')).join(' | ')))`,
    )) as string[]
    found.push(...violations.map((violation) => `axe ${colorScheme}: ${violation}`))
  }
  return found
}

/** Returns the widths at which the page is wider than the screen, or cuts off a tab or a button in a table. */
async function findOverflow(page: Page): Promise<string[]> {
  const faults: string[] = []
  for (const width of [390, 1280]) {
    await page.setViewportSize({ width, height: 800 })
    const shown = Number(await page.evaluate('document.documentElement.scrollWidth'))
    if (shown > width) faults.push(`is ${shown} pixels wide on a screen of ${width}`)
    const cut = await page.evaluate(
      `[...document.querySelectorAll('td button, .tabs a')].filter((item) =>
        item.offsetParent && item.getBoundingClientRect().right > item.closest('td, .tabs').getBoundingClientRect().right)
        .map((item) => item.ariaLabel ?? item.textContent)`,
    )
    for (const name of cut as string[]) faults.push(`cuts off "${name}" on a screen of ${width}`)
  }
  return faults
}

/** Returns the signs that content of a client became more than text. */
async function findHostile(page: Page): Promise<string[]> {
  return (await page.evaluate(
    `[...document.querySelectorAll('main img, main script, main iframe, a[href^="javascript:" i]')].map(({ outerHTML }) => 'hostile: ' + outerHTML)
      .concat(document.title.includes('owned') ? ['hostile: a script ran'] : [])`,
  )) as string[]
}
