# A C++ project: g++ and make build it from several files, with templates, exceptions, threads and streams; then it runs.
set -e
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
cat > matrix.hpp <<'C'
#pragma once
#include <array>
#include <stdexcept>
template <class T, int N> struct Matrix {
    std::array<T, N * N> v{};
    T &at(int r, int c) {
        if (r < 0 || r >= N || c < 0 || c >= N) throw std::out_of_range("cell " + std::to_string(r));
        return v[r * N + c];
    }
    Matrix operator*(const Matrix &o) const {
        Matrix m;
        for (int r = 0; r < N; r++)
            for (int c = 0; c < N; c++)
                for (int k = 0; k < N; k++) m.v[r * N + c] += v[r * N + k] * o.v[k * N + c];
        return m;
    }
};
double determinant_of_hilbert();
C
cat > hilbert.cpp <<'C'
#include <string>
#include "matrix.hpp"
double determinant_of_hilbert() {
    Matrix<double, 5> m;
    for (int r = 0; r < 5; r++)
        for (int c = 0; c < 5; c++) m.at(r, c) = 1.0 / (r + c + 1);
    double d = 1;
    for (int k = 0; k < 5; k++) {
        d *= m.at(k, k);
        for (int r = k + 1; r < 5; r++) {
            double f = m.at(r, k) / m.at(k, k);
            for (int c = k; c < 5; c++) m.at(r, c) -= f * m.at(k, c);
        }
    }
    return d;
}
C
cat > main.cpp <<'C'
#include <algorithm>
#include <atomic>
#include <future>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <sstream>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>
#include "matrix.hpp"
struct Shape { virtual ~Shape() = default; virtual double area() const = 0; };
struct Square : Shape { double s; explicit Square(double s) : s(s) {} double area() const override { return s * s; } };
struct Disc : Shape { double r; explicit Disc(double r) : r(r) {} double area() const override { return 3.14159 * r * r; } };
int main() {
    Matrix<long, 3> m;
    std::iota(m.v.begin(), m.v.end(), 1);
    auto p = m * m * m;
    for (long x : p.v) std::cout << x << ' ';
    std::cout << '\n';
    try { m.at(7, 0); } catch (const std::exception &e) { std::cout << "caught " << e.what() << '\n'; }
    std::atomic<long> sum{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; t++) threads.emplace_back([&, t] { for (int i = 0; i < 100000; i++) sum += i % (t + 1); });
    for (auto &t : threads) t.join();
    std::cout << sum << '\n';
    std::vector<std::future<int>> futures;
    for (int i = 0; i < 4; i++) futures.push_back(std::async(std::launch::async, [i] { if (i == 2) throw i; return i * i; }));
    for (auto &f : futures) try { std::cout << f.get() << ' '; } catch (int i) { std::cout << "thrown " << i << ' '; }
    std::cout << '\n' << std::setprecision(12) << determinant_of_hilbert() << '\n';
    std::map<std::string, int> words;
    std::istringstream text("the quick brown fox jumps over the lazy dog and the cat");
    for (std::string w; text >> w;) words[w]++;
    for (auto &[w, n] : words) if (n > 1) std::cout << w << '=' << n << '\n';
    std::vector<std::unique_ptr<Shape>> shapes;
    for (int i = 1; i < 6; i++) i % 2 ? shapes.push_back(std::make_unique<Square>(i)) : shapes.push_back(std::make_unique<Disc>(i));
    std::sort(shapes.begin(), shapes.end(), [](auto &a, auto &b) { return a->area() < b->area(); });
    for (auto &s : shapes) std::cout << s->area() << ' ';
    std::cout << '\n' << std::regex_replace(std::string("2020-01-31 and 1999-12-01"), std::regex("(\\d+)-(\\d+)-(\\d+)"), "$3.$2.$1") << '\n';
    std::unordered_map<long, long> h;
    for (long i = 0; i < 200000; i++) h[i * 7919 % 100003] += i;
    long x = 0;
    for (auto &[k, v] : h) x ^= k * v;
    std::cout << h.size() << ' ' << x << '\n';
}
C
printf 'CXXFLAGS = -O2 -std=c++17 -Wall -pthread\nprog: main.o hilbert.o\n\t$(CXX) -pthread -o $@ $^\n%%.o: %%.cpp matrix.hpp\n\t$(CXX) $(CXXFLAGS) -c $<\n' > Makefile
make -s -j2
./prog
make -s && echo "up to date"
touch matrix.hpp && make -n | grep -c -- -c
