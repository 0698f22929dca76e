import axe from 'axe-core'
import type { Browser, Page } from 'playwright-core'
import { openPage } from './browser.ts'
import { password } from './hostile.ts'

const textMillisecondsMax = 5000

/** Who walks which pages. Each page must show its text. */
const walks: { account: string | undefined; pages: [path: string, text: string][] }[] = [
  {
    account: 'admin',
    pages: [
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
      [
        '/repositories/team/site/-/files/1.0?path=srv',
        '<img src=x onerror=document.title=1>\u2423202etxt.exe',
      ],
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
  },
  {
    account: 'alice',
    pages: [
      ['/', 'alice/scratch'],
      ['/repositories/team/api', '1.4.0'],
      ['/repositories/team/api/-/access', 'a grant to a group'],
      ['/accounts/me', 'Create a token'],
      ['/accounts/robots', 'alice+ci'],
    ],
  },
  {
    account: 'bob',
    pages: [
      ['/', 'team/api'],
      ['/repositories/team/api', '1.4.0'],
    ],
  },
  {
    account: undefined,
    pages: [
      ['/', 'public/docs'],
      ['/sign-in', 'Sign in to'],
      ['/repositories/public/docs', 'latest'],
    ],
  },
]

/** Shows every page as each account, in both themes, and returns everything that went wrong. */
export async function walkPages(browser: Browser, origin: string): Promise<string[]> {
  const faults: string[] = []
  for (const { account, pages } of walks) {
    const context = await browser.newContext({
      viewport: { width: 1280, height: 800 },
      reducedMotion: 'reduce',
    })
    const { page, faults: found } = await openPage(context, origin)
    if (account !== undefined) await signIn(page, origin, account)
    for (const [path, text] of pages) {
      await page.goto(`${origin}${path}`)
      found.push(...(await findMissing(page, text)))
      found.push(...(await findHostile(page)), ...(await findOverflow(page)))
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme })
        found.push(...(await findBarriers(page, colorScheme)))
      }
      faults.push(...found.splice(0).map((fault) => `${account ?? 'anonymous'} ${path} ${fault}`))
    }
    await context.close()
  }
  // The server says so itself that there is no such repository.
  return faults.filter((fault) => !/\/repositories\/none console: .* 404 /.test(fault))
}

/** Returns what the page shows instead, if it does not show a text. */
async function findMissing(page: Page, text: string): Promise<string[]> {
  try {
    await page.getByText(text).first().waitFor({ timeout: textMillisecondsMax })
    return []
  } catch {
    return [`does not show "${text}", but: ${await page.locator('main').textContent()}`]
  }
}

/** Signs in through the form. */
export async function signIn(page: Page, origin: string, account: string): Promise<void> {
  await page.goto(`${origin}/sign-in`)
  await page.getByLabel('Name').fill(account)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.locator('#main').waitFor()
}

/** Returns what axe finds. It is evaluated by the debugger, which the page's policy does not concern. */
async function findBarriers(page: Page, colorScheme: string): Promise<string[]> {
  await page.evaluate(axe.source)
  const violations = (await page.evaluate(
    `axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.map(({ id, nodes }) =>
      id + ': ' + nodes.slice(0, 3).map(({ html, any }) => html.slice(0, 160) + ' ' + (any[0]?.message ?? '')).join(' | ')))`,
  )) as string[]
  return violations.map((violation) => `axe ${colorScheme}: ${violation}`)
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
