import type { Browser } from 'playwright-core'
import { openPage } from './browser.ts'
import { fileActs } from './file-acts.ts'
import { hostile } from './hostile.ts'
import { liveActs } from './live.ts'
import { type Act, by, byWithError, troubles } from './trouble.ts'
import { upkeepActs } from './upkeep.ts'
import { signIn } from './walk.ts'

/** Who does what on the page. */
const acts: Record<string, Act> = {
  'delete tags and undo it': by('alice', async (page) => {
    await page.goto('/repositories/team/worker?q=2.1')
    await page.getByRole('checkbox', { name: 'Select 2.1.0' }).check()
    await page.getByRole('checkbox', { name: 'Select 2.10.0' }).check()
    await page.getByRole('button', { name: 'Delete' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Delete 2 tags' }).click()
    await page.getByText('Deleted 2 tags').waitFor()
    await page.getByRole('link', { name: '2.10.0' }).waitFor({ state: 'detached' })
    await page.getByRole('button', { name: 'Undo' }).click()
    await page.getByRole('link', { name: '2.10.0' }).waitFor()
  }),
  'set an expiry': by('alice', async (page) => {
    await page.goto('/repositories/team/worker?q=2.3.0')
    await page.getByRole('checkbox', { name: 'Select 2.3.0' }).check()
    await page.getByRole('button', { name: 'Expire' }).click()
    await page.getByRole('radio', { name: 'In a week' }).check()
    await page.getByRole('button', { name: 'Set expiry' }).click()
    await page.getByRole('cell', { name: 'in 7 days' }).waitFor()
  }),
  'find an image by a label': by('bob', async (page) => {
    await page.goto('/repositories')
    await page.getByRole('button', { name: 'Search' }).click()
    const field = page.getByRole('searchbox', { name: 'Search repositories' })
    const labels = page.getByRole('region', { name: 'Labels' })
    await field.fill('com.example.hostile')
    await labels.getByText(`com.example.hostile=${hostile.html}`).first().waitFor()
    await field.fill('org.opencontainers.image.revision=4f8')
    await labels
      .getByRole('link', { name: 'team/api:latest org.opencontainers.image.revision=4f866d2c91b0' })
      .click()
    await page.waitForURL('**/repositories/team/api/-/manifests/latest')
  }),
  'compare two tags': by('bob', async (page) => {
    await page.goto('/repositories/team/worker?sort=name')
    await page.getByRole('checkbox', { name: 'Select 2.1.0' }).check()
    await page.getByRole('checkbox', { name: 'Select 2.2.0' }).check()
    await page.getByRole('link', { name: 'Compare' }).click()
    await page.getByText('Only in the second: 1 layer').waitFor()
  }),
  'read the packages of an SBOM': by('bob', async (page) => {
    await page.goto('/repositories/team/api/-/manifests/latest')
    await page.getByRole('link', { name: 'SPDX SBOM' }).click()
    await page.getByRole('searchbox', { name: 'Filter packages' }).fill('libcrypto')
    await page.getByRole('cell', { name: 'libcrypto3' }).waitFor()
    await page.getByRole('cell', { name: 'musl' }).waitFor({ state: 'detached' })
  }),
  'create a token': by('alice', async (page) => {
    await page.goto('/accounts/me')
    await page.getByRole('button', { name: 'Create a token' }).click()
    await page.getByLabel('What it is for').fill('laptop')
    await page.getByRole('button', { name: 'Create', exact: true }).click()
    await page.getByText('It is not shown again').waitFor()
    await page.getByRole('button', { name: 'Revoke: laptop' }).click()
    await page.getByRole('button', { name: 'Revoke the token' }).click()
    await page.getByText('The token is revoked').waitFor()
  }),
  /** Arrow keys in a dialog belong to its fields, not to the table that the dialog was opened from. */
  'choose when a token expires': by('admin', async (page) => {
    await page.goto('/accounts')
    await page.getByRole('button', { name: 'Tokens: alice' }).click()
    await page.getByRole('button', { name: 'Create a token' }).click()
    const expires = page.getByLabel('Expires')
    await expires.focus()
    await page.keyboard.press('ArrowUp')
    const days = await expires.inputValue()
    if (days !== '30') throw new Error(`the arrow key chose ${days} days`)
  }),
  'grant a role and revoke it': byWithError('admin', /status of 400/, async (page) => {
    await page.goto('/accounts/grants')
    await page.getByRole('button', { name: 'Grant a role' }).click()
    await page.getByLabel('Who', { exact: true }).fill('bob')
    await page.getByLabel('Repositories', { exact: true }).fill('not a pattern')
    await page.getByRole('button', { name: 'Grant', exact: true }).click()
    await page.getByRole('dialog').getByRole('alert').getByText('pattern').waitFor()
    await page.getByLabel('Repositories', { exact: true }).fill('charts/*')
    await page.getByRole('button', { name: 'Grant', exact: true }).click()
    await page.getByRole('button', { name: 'Revoke: bob on charts/*' }).click()
    await page.getByText('is no longer reader on charts/*').waitFor()
  }),
  'change settings': by('admin', async (page) => {
    await page.goto('/repositories/infra/postgres/-/settings')
    await page.getByLabel('Description').fill('The database')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('The settings are saved').waitFor()
    await page.goto('/repositories?q=database')
    await page.getByRole('link', { name: 'infra/postgres' }).waitFor()
  }),
  'run a job': by('admin', async (page) => {
    await page.goto('/maintenance')
    await page.getByRole('button', { name: 'Start: Scan for lost files' }).click()
    await page.getByText('done').first().waitFor()
  }),
  'be refused': by('bob', async (page) => {
    await page.goto('/repositories/team/worker')
    await page.getByRole('checkbox', { name: 'Select 2.29.0' }).check()
    await page.getByText('1 selected').waitFor()
    for (const name of ['Delete', 'Expire']) {
      if (await page.getByRole('button', { name }).isVisible()) throw new Error(`a reader is offered ${name}`)
    }
    if (await page.getByRole('link', { name: 'Settings' }).isVisible())
      throw new Error('a reader is offered settings')
  }),
}

/** Does each act, and those that depend on what is stored, and returns everything that went wrong. */
export async function doActs(
  browser: Browser,
  origin: string,
  storedActs: Record<string, Act>,
): Promise<string[]> {
  const faults: string[] = []
  for (const [name, { account, act, expected }] of Object.entries({
    ...acts,
    ...upkeepActs,
    ...storedActs,
    ...troubles,
    ...liveActs,
    ...fileActs,
  })) {
    const context = await browser.newContext({ baseURL: origin, viewport: { width: 1280, height: 800 } })
    const { page, faults: found } = await openPage(context, origin)
    await signIn(page, origin, account)
    await act(page, origin).catch((error) => found.push(String(error)))
    const unexpected = found.filter((fault) => !expected?.test(fault))
    faults.push(...unexpected.map((fault) => `${account} cannot ${name}: ${fault}`))
    await context.close()
  }
  return faults
}
