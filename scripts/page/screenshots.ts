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
  deleted: '/repositories/team/web/-/deleted',
  pulls: '/repositories/team/web/-/pulls',
  access: '/repositories/team/web/-/access',
  'repository-settings': '/repositories/team/web/-/settings',
  manifest: '/repositories/team/api/-/manifests/latest',
  chart: '/repositories/charts/gateway/-/manifests/3.2.1',
  compare: '/repositories/team/worker/-/compare?from=2.1.0&to=2.2.0',
  files: '/repositories/team/site/-/files/1.0?path=srv',
  cache: '/cache',
  accounts: '/accounts',
  robots: '/accounts/robots',
  groups: '/accounts/groups',
  grants: '/accounts/grants',
  permissions: '/accounts/access',
  account: '/accounts/me',
  activity: '/activity',
  audit: '/activity/audit',
  jobs: '/maintenance',
  garbage: '/maintenance/garbage',
  retention: '/maintenance/retention',
  quotas: '/maintenance/quotas',
  damage: '/maintenance/damage',
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
