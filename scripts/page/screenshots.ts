import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { openPage } from './browser.ts'
import { signIn } from './walk.ts'

const folder = join(import.meta.dir, '..', '..', 'docs', 'screenshots')

const viewports = { wide: { width: 1280, height: 800 }, narrow: { width: 390, height: 844 } } as const

/** What is shown of each page, by the name of its file. */
const pages: Record<string, string> = {
  home: '/',
  repositories: '/repositories',
  tags: '/repositories/team/worker',
  history: '/repositories/team/web/-/history',
  manifest: '/repositories/team/api/-/manifests/latest',
  cache: '/cache',
  accounts: '/accounts',
  audit: '/activity/audit',
  jobs: '/maintenance',
  garbage: '/maintenance/garbage',
  retention: '/maintenance/retention',
  quotas: '/maintenance/quotas',
  chart: '/repositories/charts/gateway/-/manifests/3.2.1',
  pulls: '/repositories/team/web/-/pulls',
  settings: '/settings',
}

/** Makes the screenshots of the documentation: each page, wide and narrow, light and dark. */
export async function makeScreenshots(browser: Browser, origin: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const [size, viewport] of Object.entries(viewports)) {
    for (const colorScheme of ['light', 'dark'] as const) {
      const context = await browser.newContext({ viewport, colorScheme, reducedMotion: 'reduce' })
      const { page } = await openPage(context, origin)
      const shoot = (name: string) =>
        page.screenshot({ path: join(folder, `${name}-${size}-${colorScheme}.png`) })
      await page.goto(`${origin}/sign-in`)
      await page.getByRole('button', { name: 'Sign in' }).waitFor()
      await shoot('sign-in')
      await signIn(page, origin, 'admin')
      for (const [name, path] of Object.entries(pages)) {
        await page.goto(`${origin}${path}`)
        await page.waitForLoadState('networkidle')
        await shoot(name)
      }
      await context.close()
    }
  }
  console.log(`the screenshots are in ${folder}`)
}
