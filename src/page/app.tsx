import type { ComponentChild } from 'preact'
import { ErrorBoundary, LocationProvider, lazy, Route, Router } from 'preact-iso'
import { Layout } from './layout.tsx'
import { SignIn } from './pages/accounts/sign-in.tsx'
import { Home } from './pages/home.tsx'
import { NotFound } from './pages/not-found.tsx'
import { NotLoaded } from './pages/not-loaded.tsx'
import { Repositories } from './pages/repository/repositories.tsx'
import { Failure, Loading } from './parts/states.tsx'
import { caller, callerFailure, loadCaller } from './server/session.ts'

const Repository = loaded(() =>
  import('./pages/repository/repository.tsx').then((module) => module.Repository),
)
const Cache = loaded(() => import('./pages/cache.tsx').then((module) => module.Cache))
const Accounts = loaded(() => import('./pages/accounts/accounts.tsx').then((module) => module.Accounts))
const Activity = loaded(() => import('./pages/activity.tsx').then((module) => module.Activity))
const Maintenance = loaded(() => import('./pages/maintenance.tsx').then((module) => module.Maintenance))
const Settings = loaded(() => import('./pages/settings.tsx').then((module) => module.Settings))

/** The paths of the page. Other links, such as to /swagger, leave it. */
const scope = /^\/($|\?|(sign-in|repositories|cache|accounts|activity|maintenance|settings)($|[/?]))/

/** The whole page: who uses it decides what is shown. */
export function App() {
  if (caller.value === undefined) {
    const error = callerFailure.value
    return (
      <main class="bare">
        {error ? <Failure error={error} retry={() => loadCaller().catch(() => {})} /> : <Loading />}
      </main>
    )
  }
  return (
    <LocationProvider scope={scope}>
      <Layout>
        <ErrorBoundary>
          <Router>
            <Route path="/" component={Home} />
            <Route path="/sign-in" component={SignIn} />
            <Route path="/repositories" component={Repositories} />
            <Route path="/repositories/*" component={Repository} />
            <Route path="/cache" component={Cache} />
            <Route path="/accounts/:part?" component={Accounts} />
            <Route path="/activity/:part?" component={Activity} />
            <Route path="/maintenance/:part?" component={Maintenance} />
            <Route path="/settings" component={Settings} />
            <Route default component={NotFound} />
          </Router>
        </ErrorBoundary>
      </Layout>
    </LocationProvider>
  )
}

/** Returns a page that is loaded when it is first shown. */
function loaded(load: () => Promise<() => ComponentChild>) {
  return lazy(() => load().catch(() => NotLoaded))
}
