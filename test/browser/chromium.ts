import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { bringTools } from '../../scripts/toolchain/toolchain.ts'
import { password, startSeededRegistry } from './registry.ts'

const pageSecondsMax = 30

/** Stops Chromium from connecting to its makers. As root it has no sandbox. */
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Starts $CHROMIUM, or Debian's Chromium, which is installed if it is missing. */
export async function launch(): Promise<Browser> {
  const executablePath = process.env.CHROMIUM ?? (await bringTools(['chromium'])).chromium ?? ''
  return await chromium.launch({ executablePath, args: flags })
}

/** A page in a context of its own, with what went wrong on it so far. */
export interface Visit {
  page: Page
  /** Errors, failed requests, violated policies, and requests to other hosts. */
  faults: string[]
  /** How many requests it has sent. */
  requests: () => number
}

/** Opens a page, signed in as an account if one is given. The paths of its visits are relative to the origin. */
export async function visit(browser: Browser, origin: string, account?: string): Promise<Visit> {
  const viewport = { width: 1280, height: 800 }
  const context = await browser.newContext({ baseURL: origin, viewport, reducedMotion: 'reduce' })
  const faults: string[] = []
  let count = 0
  const page = await context.newPage()
  page.setDefaultTimeout(pageSecondsMax * 1000)
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(`console: ${message.text()}`)
  })
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`))
  page.on('requestfailed', (request) => {
    // The page itself cancels a request whose answer it no longer needs.
    if (request.failure()?.errorText !== 'net::ERR_ABORTED') faults.push(`failed: ${request.url()}`)
  })
  page.on('request', (request) => {
    count++
    const url = new URL(request.url())
    if (url.origin !== origin && !['data:', 'blob:'].includes(url.protocol)) faults.push(`asked: ${url}`)
  })
  await page.addInitScript(
    `addEventListener('securitypolicyviolation', (event) =>
      console.error('policy: ' + event.violatedDirective + ' ' + event.blockedURI))`,
  )
  if (account !== undefined) await signIn(page, account)
  return { page, faults, requests: () => count }
}

/** Signs in through the form. */
async function signIn(page: Page, account: string): Promise<void> {
  await page.goto('/sign-in')
  await page.getByLabel('Name').fill(account)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.locator('#main').waitFor()
}

/** `screenshots`: makes the picture of the web page that the documentation shows. */
export async function makeScreenshots(): Promise<void> {
  await using registry = await startSeededRegistry()
  await using browser = await launch()
  const { page } = await visit(browser, registry.origin, 'admin')
  await page.goto('/')
  await page.waitForLoadState('networkidle')
  const path = join(import.meta.dir, '../../docs/screenshots/home-wide-light.png')
  await page.screenshot({ path })
  console.log(path)
}
