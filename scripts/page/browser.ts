import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'

const pageSecondsMax = 30
const names = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome', 'chrome']

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

/** @throws Error that says how to install Chromium, if it is missing. */
export async function launch(): Promise<Browser> {
  const found = process.env.CHROMIUM ?? names.map((name) => Bun.which(name)).find((path) => path !== null)
  if (!found) {
    throw new Error(
      'this check needs Chromium: `apt-get install chromium`, or name it as CHROMIUM=/path/to/chromium',
    )
  }
  return chromium.launch({ executablePath: found, args: flags })
}

/** A page, with what went wrong on it so far. */
export interface WatchedPage {
  page: Page
  faults: string[]
  /** How many requests it has sent. */
  requests: () => number
}

/** Opens a page, and collects errors, failed requests, violated policies and requests to other hosts. */
export async function openPage(context: Browser | BrowserContext, origin: string): Promise<WatchedPage> {
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
  return { page, faults, requests: () => count }
}
