/* What the compiled functions are measured against: the same work, written by hand in C.
 *
 * cc -O3 -march=native -ffast-math -shared -fPIC by_hand.c -o by_hand.so -lmvec -lm
 *
 * Arrays come and go as NumPy holds them (row by row, one sample per row) and are turned into lanes here, so packing is
 * part of the time, as it is for the compiled functions.
 */

#include <math.h>
#include <string.h>

typedef double v8 __attribute__((vector_size(64), aligned(8))); /* eight samples side by side */
enum { V = 4, LANES = 8 * V };                                  /* V of them at a time */

static inline v8 splat(double x) { return (v8){x, x, x, x, x, x, x, x}; }
static inline v8 where(v8 condition, v8 x) { return (v8)((__typeof__(x > x))x & (condition > 0)); } /* x or 0 */
static inline double total(v8 x) { return ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7])); }

/* MLP(2, [16, 16, 1]) with relu, the mean hinge loss over n samples and its gradient.
 *
 * theta and gradient hold, neuron by neuron, its weights and then its bias (337 numbers). Returns the loss. */
double demo_value_and_grad(const double *restrict theta, const double *restrict X, const double *restrict y, long n,
                           double *restrict gradient)
{
    const double *W1 = theta, *W2 = theta + 48, *W3 = theta + 320;
    static _Thread_local v8 G[337] __attribute__((aligned(64)));
    v8 loss = splat(0);
    memset(G, 0, sizeof G);
    for (long first = 0; first < n; first += LANES) {
        v8 x0[V], x1[V], t[V], in[V], a[16][V], b[16][V], da[16][V], db[16][V], d[V];
        for (int v = 0; v < V; v++)
            for (int l = 0; l < 8; l++) {
                long s = first + 8 * v + l;
                in[v][l] = s < n;
                x0[v][l] = s < n ? X[2 * s] : 0;
                x1[v][l] = s < n ? X[2 * s + 1] : 0;
                t[v][l] = s < n ? y[s] : 0;
            }
        for (int k = 0; k < 16; k++)
            for (int v = 0; v < V; v++) {
                v8 z = W1[3 * k + 2] + W1[3 * k] * x0[v] + W1[3 * k + 1] * x1[v];
                a[k][v] = where(z, z);
            }
        for (int k = 0; k < 16; k += 4) {
            v8 z[4][V];
            for (int i = 0; i < 4; i++)
                for (int v = 0; v < V; v++) z[i][v] = splat(W2[17 * (k + i) + 16]);
            for (int j = 0; j < 16; j++)
                for (int i = 0; i < 4; i++)
                    for (int v = 0; v < V; v++) z[i][v] += W2[17 * (k + i) + j] * a[j][v];
            for (int i = 0; i < 4; i++)
                for (int v = 0; v < V; v++) b[k + i][v] = where(z[i][v], z[i][v]);
        }
        for (int v = 0; v < V; v++) d[v] = splat(W3[16]);
        for (int j = 0; j < 16; j++)
            for (int v = 0; v < V; v++) d[v] += W3[j] * b[j][v];
        for (int v = 0; v < V; v++) {
            v8 margin = where(in[v], 1 - t[v] * d[v]);
            loss += where(margin, margin);
            d[v] = where(margin, -t[v]);
            G[336] += d[v];
        }
        for (int k = 0; k < 16; k++)
            for (int v = 0; v < V; v++) {
                G[320 + k] += d[v] * b[k][v];
                db[k][v] = where(b[k][v], W3[k] * d[v]);
            }
        for (int k = 0; k < 16; k += 4)
            for (int j = 0; j < 16; j += 4) {
                v8 g[4][4] = {0};
                for (int v = 0; v < V; v++)
                    for (int i = 0; i < 4; i++)
                        for (int h = 0; h < 4; h++) g[i][h] += db[k + i][v] * a[j + h][v];
                for (int i = 0; i < 4; i++)
                    for (int h = 0; h < 4; h++) G[48 + 17 * (k + i) + j + h] += g[i][h];
            }
        for (int k = 0; k < 16; k++)
            for (int v = 0; v < V; v++) G[48 + 17 * k + 16] += db[k][v];
        for (int j = 0; j < 16; j += 4) {
            v8 g[4][V] = {0};
            for (int k = 0; k < 16; k++)
                for (int i = 0; i < 4; i++)
                    for (int v = 0; v < V; v++) g[i][v] += W2[17 * k + j + i] * db[k][v];
            for (int i = 0; i < 4; i++)
                for (int v = 0; v < V; v++) da[j + i][v] = where(a[j + i][v], g[i][v]);
        }
        for (int k = 0; k < 16; k++)
            for (int v = 0; v < V; v++) {
                G[3 * k] += da[k][v] * x0[v];
                G[3 * k + 1] += da[k][v] * x1[v];
                G[3 * k + 2] += da[k][v];
            }
    }
    for (int i = 0; i < 337; i++) gradient[i] = total(G[i]) / n;
    return total(loss) / n;
}

/* The reprojection error of bundle adjustment, and its Jacobian, for n observations.
 *
 * A row of `in` is a camera (rotation vector 3, centre 3, focal length, principal point 2, radial distortion 2), a point
 * (3), a weight and the feature seen (2): 17 numbers, of which the first 15 vary. A row of `error` has 2 numbers, one of
 * `jacobian` 2 x 15. The rotation is Rodrigues' formula, with its derivative. */
void bundle_value_and_jacobian(const double *restrict in, long n, double *restrict error, double *restrict jacobian)
{
    enum { L = 64 };
    for (long first = 0; first < n; first += L) {
        v8 P[17][L / 8], E[2][L / 8], J[30][L / 8];
        double turn[3][L];
        int m = n - first < L ? (int)(n - first) : L;
        for (int s = 0; s < L; s++)
            for (int i = 0; i < 17; i++) P[i][s / 8][s % 8] = in[17 * (first + (s < m ? s : 0)) + i];
        for (int s = 0; s < L; s++) { /* sin and cos of one angle do not vectorise: cos a = 1 - 2 sin(a / 2) ** 2 */
            const double *r0 = (const double *)P[0], *r1 = (const double *)P[1], *r2 = (const double *)P[2];
            double angle = sqrt(r0[s] * r0[s] + r1[s] * r1[s] + r2[s] * r2[s]);
            turn[0][s] = angle, turn[1][s] = sin(angle), turn[2][s] = sin(0.5 * angle);
        }
        for (int s = 0; s < L / 8; s++) {
            v8 r0 = P[0][s], r1 = P[1][s], r2 = P[2][s], f = P[6][s], u0 = P[7][s], v0 = P[8][s];
            v8 k1 = P[9][s], k2 = P[10][s], w = P[14][s];
            v8 q0 = P[11][s] - P[3][s], q1 = P[12][s] - P[4][s], q2 = P[13][s] - P[5][s];
            v8 over = 1 / *(v8 *)&turn[0][8 * s], sn = *(v8 *)&turn[1][8 * s], half = *(v8 *)&turn[2][8 * s];
            v8 e = 2 * half * half, c = 1 - e;
            v8 a0 = r0 * over, a1 = r1 * over, a2 = r2 * over;
            /* R = c I + sn [a] + e a aT */
            v8 R00 = c + e * a0 * a0, R01 = e * a0 * a1 - sn * a2, R02 = e * a0 * a2 + sn * a1;
            v8 R10 = e * a0 * a1 + sn * a2, R11 = c + e * a1 * a1, R12 = e * a1 * a2 - sn * a0;
            v8 R20 = e * a0 * a2 - sn * a1, R21 = e * a1 * a2 + sn * a0, R22 = c + e * a2 * a2;
            v8 X = R00 * q0 + R01 * q1 + R02 * q2, Y = R10 * q0 + R11 * q1 + R12 * q2, Z = R20 * q0 + R21 * q1 + R22 * q2;
            v8 iz = 1 / Z, x = X * iz, y = Y * iz, rr = x * x + y * y;
            v8 distort = 1 + rr * (k1 + k2 * rr), slope = 2 * (k1 + 2 * k2 * rr);
            v8 px = x * distort, py = y * distort;
            E[0][s] = w * (f * px + u0 - P[15][s]);
            E[1][s] = w * (f * py + v0 - P[16][s]);
            v8 wf = w * f;
            /* by the point in the camera's frame */
            v8 dxx = wf * (distort + x * x * slope), dxy = wf * (x * y * slope), dyy = wf * (distort + y * y * slope);
            v8 A0 = dxx * iz, A1 = dxy * iz, A2 = -(dxx * x + dxy * y) * iz;
            v8 B0 = dxy * iz, B1 = dyy * iz, B2 = -(dxy * x + dyy * y) * iz;
            v8 ap = a0 * q0 + a1 * q1 + a2 * q2;
            v8 h0 = a1 * q2 - a2 * q1, h1 = a2 * q0 - a0 * q2, h2 = a0 * q1 - a1 * q0; /* a x q */
            v8 se = sn * over, ee = e * over;
            /* d(Rq)/dr_i = a_i (-sn q + c h + sn ap a ) + the turn of the axis */
            v8 g0 = -sn * q0 + c * h0 + sn * ap * a0, g1 = -sn * q1 + c * h1 + sn * ap * a1,
                   g2 = -sn * q2 + c * h2 + sn * ap * a2;
            v8 axis[3] = {a0, a1, a2}, q[3] = {q0, q1, q2};
            for (int i = 0; i < 3; i++) {
                v8 d0 = (i == 0) - a0 * axis[i], d1 = (i == 1) - a1 * axis[i], d2 = (i == 2) - a2 * axis[i];
                v8 dap = q[i] - ap * axis[i];
                v8 D0 = g0 * axis[i] + se * (d1 * q2 - d2 * q1) + ee * (dap * a0 + ap * d0);
                v8 D1 = g1 * axis[i] + se * (d2 * q0 - d0 * q2) + ee * (dap * a1 + ap * d1);
                v8 D2 = g2 * axis[i] + se * (d0 * q1 - d1 * q0) + ee * (dap * a2 + ap * d2);
                J[i][s] = A0 * D0 + A1 * D1 + A2 * D2;
                J[15 + i][s] = B0 * D0 + B1 * D1 + B2 * D2;
            }
            v8 JA0 = A0 * R00 + A1 * R10 + A2 * R20, JA1 = A0 * R01 + A1 * R11 + A2 * R21, JA2 = A0 * R02 + A1 * R12 + A2 * R22;
            v8 JB0 = B0 * R00 + B1 * R10 + B2 * R20, JB1 = B0 * R01 + B1 * R11 + B2 * R21, JB2 = B0 * R02 + B1 * R12 + B2 * R22;
            J[3][s] = -JA0, J[4][s] = -JA1, J[5][s] = -JA2, J[11][s] = JA0, J[12][s] = JA1, J[13][s] = JA2;
            J[18][s] = -JB0, J[19][s] = -JB1, J[20][s] = -JB2, J[26][s] = JB0, J[27][s] = JB1, J[28][s] = JB2;
            J[6][s] = w * px, J[21][s] = w * py, J[7][s] = w, J[22][s] = splat(0), J[8][s] = splat(0), J[23][s] = w;
            J[9][s] = wf * x * rr, J[24][s] = wf * y * rr, J[10][s] = wf * x * rr * rr, J[25][s] = wf * y * rr * rr;
            J[14][s] = f * px + u0 - P[15][s], J[29][s] = f * py + v0 - P[16][s];
        }
        for (int s = 0; s < m; s++) {
            for (int i = 0; i < 2; i++) error[2 * (first + s) + i] = E[i][s / 8][s % 8];
            for (int i = 0; i < 30; i++) jacobian[30 * (first + s) + i] = J[i][s / 8][s % 8];
        }
    }
}

/* The price of a European call (Black and Scholes, 1973) and its derivatives by spot, strike, rate, volatility and time
 * to expiry, for n options. A row of `in` is (spot, strike, rate, volatility, time), a row of `out` the price and the five. */
void black_scholes(const double *restrict in, long n, double *restrict out)
{
    enum { L = 64 };
    const double half = sqrt(0.5), density = 1 / sqrt(2 * 3.14159265358979323846);
    for (long first = 0; first < n; first += L) {
        double P[5][L], R[6][L];
        int m = n - first < L ? (int)(n - first) : L;
        for (int s = 0; s < L; s++)
            for (int i = 0; i < 5; i++) P[i][s] = in[5 * (first + (s < m ? s : 0)) + i];
        for (int s = 0; s < L; s++) {
            double S = P[0][s], K = P[1][s], r = P[2][s], sigma = P[3][s], T = P[4][s];
            double root = sqrt(T), spread = sigma * root;
            double d1 = (log(S / K) + (r + 0.5 * sigma * sigma) * T) / spread, d2 = d1 - spread;
            double N1 = 0.5 * (1 + erf(d1 * half)), N2 = 0.5 * (1 + erf(d2 * half));
            double discount = exp(-r * T), n1 = density * exp(-0.5 * d1 * d1), KD = K * discount;
            R[0][s] = S * N1 - KD * N2;
            R[1][s] = N1;
            R[2][s] = -discount * N2;
            R[3][s] = T * KD * N2;
            R[4][s] = S * n1 * root;
            R[5][s] = S * n1 * sigma / (2 * root) + r * KD * N2;
        }
        for (int s = 0; s < m; s++)
            for (int i = 0; i < 6; i++) out[6 * (first + s) + i] = R[i][s];
    }
}

/* `steps` steps of Euler's method for Lorenz' equations from (1, 1, 1): x² + y² + z² at the end, and its derivatives by the
 * equations' three numbers. `path` has room for 3 numbers a step. */
double lorenz_value_and_grad(const double *restrict theta, long steps, double h, double *restrict path, double *restrict gradient)
{
    double s = theta[0], r = theta[1], b = theta[2], x = 1, y = 1, z = 1, ds = 0, dr = 0, db = 0;
    for (long t = 0; t < steps; t++) {
        double *p = path + 3 * t;
        p[0] = x, p[1] = y, p[2] = z;
        double u = s * (y - x), v = x * (r - z) - y, w = x * y - b * z;
        x += h * u, y += h * v, z += h * w;
    }
    double value = x * x + y * y + z * z, gx = 2 * x, gy = 2 * y, gz = 2 * z;
    for (long t = steps - 1; t >= 0; t--) {
        double *p = path + 3 * t, u = h * gx, v = h * gy, w = h * gz;
        x = p[0], y = p[1], z = p[2];
        ds += u * (y - x), dr += v * x, db -= w * z;
        gx += v * (r - z) + w * y - u * s;
        gy += u * s - v + w * x;
        gz -= v * x + w * b;
    }
    gradient[0] = ds, gradient[1] = dr, gradient[2] = db;
    return value;
}

/* The second difference of n numbers; those at the ends are their own neighbours, so that it is its own transpose. */
static inline void differences(const double *restrict u, long n, double *restrict out)
{
    out[0] = u[1] - u[0], out[n - 1] = u[n - 2] - u[n - 1];
    for (long i = 1; i < n - 1; i++) out[i] = u[i - 1] - 2 * u[i] + u[i + 1];
}

/* `steps` explicit steps of the heat equation on n points, from u: Σ u² at the end, and its derivative by the one coefficient.
 * `path` has room for n numbers a step and 3 n more. */
double heat_value_and_grad(double theta, const double *restrict from, long steps, long n, double *restrict path, double *gradient)
{
    double *u = path, *d = path + n * (steps + 1), *g = d + n, value = 0, sum = 0;
    memcpy(u, from, n * sizeof *u);
    for (long t = 0; t < steps; t++, u += n) {
        differences(u, n, d);
        for (long i = 0; i < n; i++) u[n + i] = u[i] + theta * d[i];
    }
    for (long i = 0; i < n; i++) value += u[i] * u[i], g[i] = 2 * u[i];
    for (long t = steps - 1; t >= 0; t--) {
        u -= n;
        differences(u, n, d);
        for (long i = 0; i < n; i++) sum += g[i] * d[i];
        differences(g, n, d);
        for (long i = 0; i < n; i++) g[i] += theta * d[i];
    }
    *gradient = sum;
    return value;
}

/* One sample through a layer of n neurons with n inputs, forward and backward: half the sum of squares of relu(W x + b), and its
 * derivatives by W, b and x. theta and gradient hold these one after the other (W row by row); d has room for n numbers. */
double dense_value_and_grad(const double *restrict theta, long n, double *restrict d, double *restrict gradient)
{
    const double *W = theta, *b = theta + n * n, *x = b + n;
    double *restrict dW = gradient, *restrict db = dW + n * n, *restrict dx = db + n, value = 0;
    memset(dx, 0, n * sizeof *dx);
    for (long k = 0; k < n; k++) {
        double z = b[k];
        for (long j = 0; j < n; j++) z += W[n * k + j] * x[j];
        d[k] = z > 0 ? z : 0;
        value += 0.5 * d[k] * d[k];
    }
    for (long k = 0; k < n; k++) {
        db[k] = d[k];
        for (long j = 0; j < n; j++) dW[n * k + j] = d[k] * x[j], dx[j] += W[n * k + j] * d[k];
    }
    return value;
}

/* Half the sum of squares of relu of the convolution of n numbers with 5 weights, and its derivatives by weights and numbers, which
 * theta and gradient hold one after the other. d has room for n numbers. */
double convolution_value_and_grad(const double *restrict theta, long n, double *restrict d, double *restrict gradient)
{
    enum { K = 5 };
    const double *w = theta, *x = theta + K;
    double *restrict dw = gradient, *restrict dx = gradient + K, value = 0;
    memset(dx, 0, n * sizeof *dx);
    for (long i = 0; i <= n - K; i++) {
        double z = 0;
        for (int j = 0; j < K; j++) z += w[j] * x[i + j];
        d[i] = z > 0 ? z : 0;
        value += 0.5 * d[i] * d[i];
    }
    for (int j = 0; j < K; j++) {
        double sum = 0;
        for (long i = 0; i <= n - K; i++) sum += d[i] * x[i + j], dx[i + j] += w[j] * d[i];
        dw[j] = sum;
    }
    return value;
}

/* The sum of the logarithms of the pivots of an n by n matrix, factored without exchanges, and its derivative by the matrix. lu has
 * room for n * n numbers. */
double lu_value_and_grad(const double *restrict theta, long n, double *restrict lu, double *restrict gradient)
{
    double value = 0, *restrict g = gradient;
    memcpy(lu, theta, n * n * sizeof *lu);
    memset(g, 0, n * n * sizeof *g);
    for (long k = 0; k < n; k++) {
        double over = 1 / lu[n * k + k];
        for (long i = k + 1; i < n; i++) {
            double l = lu[n * i + k] *= over;
            for (long j = k + 1; j < n; j++) lu[n * i + j] -= l * lu[n * k + j];
        }
        value += log(lu[n * k + k]);
        g[n * k + k] = over;
    }
    for (long k = n - 1; k >= 0; k--) {
        double over = 1 / lu[n * k + k];
        for (long i = k + 1; i < n; i++) {
            double l = lu[n * i + k], dl = g[n * i + k];
            for (long j = k + 1; j < n; j++) dl -= g[n * i + j] * lu[n * k + j], g[n * k + j] -= l * g[n * i + j];
            g[n * i + k] = dl * over;
            g[n * k + k] -= dl * over * l;
        }
    }
    return value;
}

/* The sum of 12 n numbers that are made in registers, in as many chains as keep every unit for additions busy. */
double additions(long n)
{
    double sums[12] = {0};
    for (long i = 0; i < n; i++)
        for (int k = 0; k < 12; k++) {
            sums[k] += 1.0 + k;
            __asm__ volatile("" : "+x"(sums[k])); /* one addition each, and not one multiplication for all */
        }
    double total = 0.0;
    for (int k = 0; k < 12; k++)
        total += sums[k];
    return total;
}
