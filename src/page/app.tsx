import { ErrorBoundary, LocationProvider, lazy, Route, Router } from 'preact-iso'
import { Layout } from './layout.tsx'
import { Home } from './pages/home.tsx'
import { NotFound } from './pages/not-found.tsx'
import { Repositories } from './pages/repositories.tsx'
import { SignIn } from './pages/sign-in.tsx'
import { Loading } from './parts/states.tsx'
import { caller } from './session.ts'

const Repository = lazy(() => import('./pages/repository.tsx').then((module) => module.Repository))
const Cache = lazy(() => import('./pages/cache.tsx').then((module) => module.Cache))
const Accounts = lazy(() => import('./pages/accounts.tsx').then((module) => module.Accounts))
const Activity = lazy(() => import('./pages/activity.tsx').then((module) => module.Activity))
const Maintenance = lazy(() => import('./pages/maintenance.tsx').then((module) => module.Maintenance))
const Settings = lazy(() => import('./pages/settings.tsx').then((module) => module.Settings))

/** The paths of the page. Other links, such as to /swagger, leave it. */
const scope = /^\/($|\?|(sign-in|repositories|cache|accounts|activity|maintenance|settings)($|[/?]))/

/** The whole page: who uses it decides what is shown. */
export function App() {
  if (caller.value === undefined) return <Loading />
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
