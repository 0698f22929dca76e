import type { Browser, Page } from 'playwright-core'
import { openPage } from './browser.ts'
import { password } from './hostile.ts'

/** Signs in, finds a repository, and restores a deleted tag, with the keyboard alone. Returns what went wrong. */
export async function useKeyboard(browser: Browser, origin: string): Promise<string[]> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
  const { page, faults } = await openPage(context, origin)
  const { keyboard } = page
  await page.goto(`${origin}/sign-in`)
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
  await context.close()
  return faults.map((fault) => `keyboard ${fault}`)
}

/** Presses Tab until an element with this name has the focus. */
async function tabTo(page: Page, name: string): Promise<void> {
  const tabsMax = 120
  for (let count = 0; count < tabsMax; count++) {
    await page.keyboard.press('Tab')
    const focused = String(
      await page.evaluate(
        `document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? ''`,
      ),
    )
    if (focused.trim().startsWith(name)) return
  }
  throw new Error(`the keyboard does not reach "${name}"`)
}
