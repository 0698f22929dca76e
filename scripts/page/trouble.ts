import type { Page } from 'playwright-core'

/** What somebody does on the page. It waits for what a person would see, and fails otherwise. */
export interface Act {
  account: string
  /** What Chromium reports although the act succeeds: the status of a request that the server refuses. */
  expected?: RegExp
  act: (page: Page, origin: string) => Promise<void>
}

/** Returns what an account does. */
export function by(account: string, act: Act['act']): Act {
  return { account, act }
}

/** Returns what an account does although Chromium reports an error. */
export function byWithError(account: string, expected: RegExp, act: Act['act']): Act {
  return { account, expected, act }
}

/** What goes wrong, and what the page says about it. */
export const troubles: Record<string, Act> = {
  /** The second page of the list fails. It is asked for once, and again only when somebody wants it. */
  'be told that a list cannot be read': byWithError('bob', /status of 500/, async (page) => {
    let count = 0
    await page.route('**/api/v1/repositories/*/tags?*', async (route) => {
      if (route.request().url().includes('cursor=')) {
        count++
        await route.fulfill({ status: 500, json: { code: 'UNKNOWN', detail: 'it broke' } })
        return
      }
      const response = await route.fetch()
      await route.fulfill({ response, json: { ...(await response.json()), nextCursor: 'next' } })
    })
    await page.goto('/repositories/team/worker')
    await page.getByRole('alert').getByText('it broke').waitFor()
    const again = page.waitForResponse(/cursor=/)
    await page.getByRole('button', { name: 'Try again' }).click()
    await again
    await page.waitForLoadState('networkidle')
    if (count !== 2) throw new Error(`the page was asked for ${count} times, not twice`)
  }),
  'be told that a page cannot be loaded': byWithError('admin', /status of 404/, async (page) => {
    await page.goto('/')
    await page.getByText('What fills it').waitFor()
    await page.route('**/assets/*.js', (route) => route.fulfill({ status: 404 }))
    await page.getByRole('link', { name: 'Settings' }).click()
    await page.getByText('This page could not be loaded').waitFor()
    await page.unrouteAll()
    await page.getByRole('button', { name: 'Reload' }).click()
    await page.getByText('uploads.pool-bytes').first().waitFor()
  }),
  'be told that the session has ended': byWithError('bob', /status of 401/, async (page) => {
    await page.goto('/repositories')
    await page.context().clearCookies()
    await page.getByRole('link', { name: 'Accounts' }).click()
    await page.getByText('Your session has ended').waitFor()
  }),
  'be told that a page is for admins': by('bob', async (page) => {
    await page.goto('/maintenance')
    await page.getByText('Only server admins can see this page').waitFor()
  }),
  'be told what a user loses': by('admin', async (page) => {
    await page.goto('/accounts/robots')
    await page.getByRole('button', { name: 'Delete: alice+ci' }).click()
    await page.getByText('This deletes alice+ci, 1 token and its grants').waitFor()
    await page.getByRole('button', { name: 'Cancel' }).click()
    await page.getByText('alice+ci').waitFor()
  }),
  'be told of damaged content': by('admin', async (page) => {
    const neededBy = [{ repository: 'team/web', tag: 'latest' }, { repository: 'team/api' }]
    const one = { digest: `sha256:${'ab'.repeat(32)}`, kind: 'blob', bytes: 7, foundAt: new Date(), neededBy }
    await page.route('**/api/v1/storage', async (route) => {
      const response = await route.fetch()
      await route.fulfill({ response, json: { ...(await response.json()), damagedCount: 1 } })
    })
    await page.route('**/api/v1/damage', (route) => route.fulfill({ json: { items: [one] } }))
    await page.goto('/')
    await page.getByText('1 blob or manifest is damaged').waitFor()
    await page.getByRole('link', { name: 'team/web:latest' }).first().waitFor()
  }),
}
